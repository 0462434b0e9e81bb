# Starts Caddy. Its file wants a space between two names, the console's settings a comma: commas are taken with or without a space.
set -eu
names=$(printf %s "${ATALAYA_HOSTS:-localhost}" | tr -s ', ' '  ')
ATALAYA_HOSTS=$(printf %s "${names% }" | sed 's/^ //; s/ /, /g')
export ATALAYA_HOSTS
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
