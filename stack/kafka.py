"""Kafka 4.3, broker and controller in one process (KRaft), from jars that `stack.jars` fetched."""

import subprocess
from pathlib import Path

from stack import base, java
from stack.config import Config
from stack.errors import StackError
from stack.parts import Part, Program

SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
"""

SMALL = ["-Xms64m", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
LOGS = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]
LOGS += ["-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ"]


def prepare(config: Config) -> None:
    """Write the settings, and format the log folder at the first start."""
    folder = _folder(config)
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    ports = {"broker": config.port("kafka"), "controller": config.port("kafka-controller")}
    data = str(folder / "data").replace("\\", "\\\\")
    (folder / "kraft.properties").write_text(SETTINGS.format(data=data, **ports))
    if not (folder / "data" / "meta.properties").exists():
        _format(config)


def _format(config: Config) -> None:
    options = [
        "format",
        "-t",
        config.secrets["kafka_cluster_id"],
        "-c",
        str(_folder(config) / "kraft.properties"),
    ]
    command = [*_java(config), "kafka.tools.StorageTool", *options]
    done = subprocess.run(command, capture_output=True, text=True, env=base.environment())
    if done.returncode != 0:
        raise StackError(f"Kafka could not format its folder {_folder(config)}:\n{done.stdout}{done.stderr}")


def _java(config: Config) -> list[str]:
    return [str(java.find()), *SMALL, *LOGS, "-cp", f"{config.jars_dir}/*"]


def _folder(config: Config) -> Path:
    return config.var_dir / "kafka"


def _program(config: Config) -> Program:
    argv = [*_java(config), "kafka.Kafka", str(_folder(config) / "kraft.properties")]
    return Program(argv, base.environment(), _folder(config))


def _health(config: Config, _started_at: float) -> None:
    """The broker's port opens once it has joined its controller and recovered its logs."""
    base.listens(config, "kafka")


PART = Part("kafka", program=_program, health=_health, port="kafka", stop_wait_s=25)
