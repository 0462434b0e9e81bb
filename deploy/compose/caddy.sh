# Starts Caddy. Its file wants spaces between names or networks, the console's settings commas: commas are taken with or
# without a space.
set -eu
names=$(printf %s "${ATALAYA_HOSTS:-localhost}" | tr -s ', ' '  ')
ATALAYA_HOSTS=$(printf %s "${names% }" | sed 's/^ //; s/ /, /g')
ATALAYA_TRUSTED_PROXIES=$(printf %s "${ATALAYA_TRUSTED_PROXIES:-}" | tr -s ', ' '  ')
export ATALAYA_HOSTS ATALAYA_TRUSTED_PROXIES
exec caddy run --config /etc/caddy/Caddyfile --adapter caddyfile
