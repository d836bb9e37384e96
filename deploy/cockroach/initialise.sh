#!/bin/sh
# initialise.sh NODE: makes the nodes one cluster, once. Run again it finds that they are.
set -eu
cockroach init --certs-dir=/certs --host="$1" || true
# before any database is made: in a new one nobody may then create tables in the schema public
exec cockroach sql --certs-dir=/certs --host="$1" \
  --execute='SET CLUSTER SETTING sql.auth.public_schema_create_privilege.enabled = false'
