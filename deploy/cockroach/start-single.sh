#!/usr/bin/env bash
# start-single.sh IMAGE: starts one node of CockroachDB in a container on 127.0.0.1:26257, thrown away with it, and prints
# HOLDFAST_TEST_COCKROACH_URL=… for the test suite. With certificates: without them nobody has a password.
set -euo pipefail
image=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
chmod 755 "$work"
password=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n')

docker run --rm --volume "$here:/setup:ro" --volume "$work:/out" --entrypoint /setup/certificates.sh \
  "$image" /out 0 "$(id -u)" node1 >&2
docker run --detach --name holdfast-cockroachdb --publish 127.0.0.1:26257:26257 --volume "$work:/out:ro" \
  "$image" start-single-node --certs-dir=/out/node1 --store=type=mem,size=2GiB --listen-addr=:26257 >&2
sql() {
  docker run --rm --network container:holdfast-cockroachdb --volume "$work:/out:ro" --entrypoint cockroach \
    "$image" sql --certs-dir=/out/root --host=127.0.0.1 "$@" >&2
}
for _ in $(seq 60); do
  if sql --execute='SELECT 1' 2>/dev/null; then break; fi
  sleep 1
done
sql --execute='SET CLUSTER SETTING sql.auth.public_schema_create_privilege.enabled = false'
sql --execute="CREATE USER suite WITH PASSWORD '$password'" --execute='GRANT admin TO suite'
echo "HOLDFAST_TEST_COCKROACH_URL=postgresql://suite:$password@127.0.0.1:26257/defaultdb?sslmode=verify-full&sslrootcert=$work/trust/ca.crt"
