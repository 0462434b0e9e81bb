#!/bin/bash
# The one-shot `airflow-setup` of docker-compose.yml: the password of Airflow's own sign-in, and its database.
set -euo pipefail
: "${AIRFLOW_ADMIN_PASSWORD:?}"
umask 077
printf '{"admin": "%s"}' "$AIRFLOW_ADMIN_PASSWORD" >"$AIRFLOW_HOME/passwords.json"
mkdir -p "$AIRFLOW_HOME/logs" "$AIRFLOW_HOME/plugins" "$AIRFLOW_HOME/work"
exec python -m airflow db migrate
