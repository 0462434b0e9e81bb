#!/bin/sh
# Redis as docker-compose.yml starts it: with a password, and an account that sees keys `feature:*` alone, which
# pipelines get. Both come from the environment and go into a file that only this process reads.
set -eu
: "${REDIS_PASSWORD:?}" "${FEATURES_PASSWORD:?}"
case "$REDIS_PASSWORD$FEATURES_PASSWORD" in
    *[!A-Za-z0-9._~+=-]*)
        echo "ATALAYA_SECRET_REDIS or ATALAYA_SECRET_FEATURES holds other signs than letters, digits and . _ ~ + = -: choose another." >&2
        exit 1
        ;;
esac
umask 077
cat >/tmp/redis.conf <<END
bind * -::*
port 6379
requirepass $REDIS_PASSWORD
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
user features on >$FEATURES_PASSWORD ~feature:* resetchannels -@all +ping +get +set +mget +hget +hset +hsetnx +sadd +smembers +zadd +zcount +zrevrange +zrangebyscore +zrevrangebyscore +zremrangebyscore +pexpireat +multi +exec +discard
END
exec redis-server /tmp/redis.conf
