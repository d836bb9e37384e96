#!/bin/sh
# secrets.sh DIRECTORY HOSTS PARAMETERS [SUPERUSER]
#
# Makes the secrets of a deployment, once; what is there stays. One folder for each who reads them:
#   DIRECTORY/service    DATABASE_URL, HOLDFAST_IDENTITY_URL, HOLDFAST_KEY
#   DIRECTORY/migrate    HOLDFAST_MIGRATOR_URL
#   DIRECTORY/roles      SUPERUSER_URL
#   DIRECTORY/database   superuser_password, for PostgreSQL's first start
#
# HOSTS       such as database:5432
# PARAMETERS  such as sslmode=verify-full&sslrootcert=/run/trust/ca.crt
# SUPERUSER   the whole SUPERUSER_URL, where it signs in by a certificate
#
# Run by root they are handed to SERVICE_UID and DATABASE_UID.
set -eu
umask 077

directory=$1
hosts=$2
parameters=$3
superuser=${4:-}

# 256 bits in base64url, which needs no escaping in a URL
random() {
  head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'
}

# keep FILE OWNER TEXT: never over a file that is there, never half a file
keep() {
  [ -e "$1" ] && return
  printf '%s' "$3" >"$1.new"
  if [ "$(id -u)" = 0 ]; then chown "$2" "$1.new"; fi
  mv "$1.new" "$1"
}

service_uid=${SERVICE_UID:-10001}
database_uid=${DATABASE_UID:-999}
# folders may be passed by all; the files in them are their owners' alone
readers='service migrate roles'
[ -n "$superuser" ] || readers="$readers database"
for reader in $readers; do
  mkdir -p "$directory/$reader"
  chmod 755 "$directory/$reader"
done

url() {
  printf 'postgresql://%s:%s@%s/holdfast?%s' "$1" "$(random)" "$hosts" "$parameters"
}

keep "$directory/service/DATABASE_URL" "$service_uid" "$(url holdfast_app)"
keep "$directory/service/HOLDFAST_IDENTITY_URL" "$service_uid" "$(url holdfast_identity)"
keep "$directory/service/HOLDFAST_KEY" "$service_uid" "$(random)"
keep "$directory/migrate/HOLDFAST_MIGRATOR_URL" "$service_uid" "$(url holdfast_migrator)"
if [ -n "$superuser" ]; then
  keep "$directory/roles/SUPERUSER_URL" "$service_uid" "$superuser"
elif [ ! -e "$directory/roles/SUPERUSER_URL" ]; then
  # both hold one password: an earlier half is made again
  rm -f "$directory/database/superuser_password"
  password=$(random)
  keep "$directory/database/superuser_password" "$database_uid" "$password"
  keep "$directory/roles/SUPERUSER_URL" "$service_uid" "postgresql://postgres:$password@$hosts/postgres?$parameters"
fi
