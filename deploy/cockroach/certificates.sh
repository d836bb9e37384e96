#!/bin/sh
# certificates.sh DIRECTORY OWNER SERVICE NODE…
#
# In CockroachDB's own image, once: a certificate for each NODE in DIRECTORY/NODE, root's in DIRECTORY/root, and
# DIRECTORY/trust/ca.crt for the service. The authority's key is thrown away.
#
# Run by root the nodes' files and DIRECTORY/NODE-data are handed to OWNER, root's to SERVICE, both numbers.
set -eu
umask 077

directory=$1
owner=$2
service=$3
shift 3

if [ -e "$directory/trust/ca.crt" ]; then exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cockroach cert create-ca --certs-dir="$work" --ca-key="$work/ca.key"
# a node's certificate, and root's, opens everything: each file is its reader's alone, the folders may be passed by all
hand_to() {
  if [ "$(id -u)" = 0 ]; then chown "$@"; fi
}
for node in "$@"; do
  certificates="$directory/$node"
  mkdir -p "$certificates" "$directory/$node-data"
  chmod 755 "$certificates"
  rm -f "$certificates"/*
  cp "$work/ca.crt" "$certificates/ca.crt"
  cockroach cert create-node "$node" localhost 127.0.0.1 --certs-dir="$certificates" --ca-key="$work/ca.key"
  hand_to "$owner" "$certificates"/* "$directory/$node-data"
done
mkdir -p "$directory/root" "$directory/trust"
chmod 755 "$directory/root" "$directory/trust"
rm -f "$directory/root"/*
cp "$work/ca.crt" "$directory/root/ca.crt"
cockroach cert create-client root --certs-dir="$directory/root" --ca-key="$work/ca.key"
hand_to "$service" "$directory/root"/*
# last: it says that all is there
cp "$work/ca.crt" "$directory/trust/ca.crt.new"
chmod 644 "$directory/trust/ca.crt.new"
mv "$directory/trust/ca.crt.new" "$directory/trust/ca.crt"
