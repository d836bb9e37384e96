#!/bin/sh
# certificates.sh DIRECTORY TRUST OWNER NAME…
#
# Makes DIRECTORY/server.crt and server.key for the host NAME…, and TRUST/ca.crt that vouches for it, for 397 days. Run
# again it leaves them until 30 days before their end. The authority's key is thrown away: nobody can make a second
# certificate by it, and renewing makes a new authority.
#
# Run by root the key is handed to OWNER, a number.
set -eu
umask 077

directory=$1
trust=$2
owner=$3
shift 3

days=397
renew_seconds=2592000

if [ -e "$directory/server.key" ] && [ -e "$trust/ca.crt" ] &&
  openssl x509 -checkend "$renew_seconds" -noout -in "$directory/server.crt" >/dev/null; then
  exit 0
fi

names=
for name in "$@"; do
  case $name in
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  names="${names:+$names,}$kind:$name"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days "$days" -subj '/CN=Holdfast deployment' \
  -addext 'keyUsage=critical,keyCertSign' -keyout "$work/ca.key" -out "$work/ca.crt" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$1" \
  -keyout "$work/server.key" -out "$work/server.csr" 2>/dev/null
cat >"$work/extensions" <<EXTENSIONS
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$names
EXTENSIONS
openssl x509 -req -in "$work/server.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial -days "$days" \
  -extfile "$work/extensions" -out "$work/server.crt" 2>/dev/null

mkdir -p "$directory" "$trust"
chmod 755 "$directory" "$trust"
# put FILE PLACE MODE: whole, or not at all
put() {
  cp "$work/$1" "$2/$1.new"
  chmod "$3" "$2/$1.new"
  if [ "$1" = server.key ] && [ "$(id -u)" = 0 ]; then chown "$owner" "$2/$1.new"; fi
  mv -f "$2/$1.new" "$2/$1"
}
# the key is taken away first and put last: without it the next run begins anew
rm -f "$directory/server.key"
put ca.crt "$trust" 644
put server.crt "$directory" 644
put server.key "$directory" 600
