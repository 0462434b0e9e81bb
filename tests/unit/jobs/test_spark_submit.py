"""What spark-submit is told for each kind of master."""

from pathlib import Path

import pytest

from jobs import gateway
from jobs.folders import Folder

API = "k8s://https://kubernetes.default.svc"
IMAGE = "spark.kubernetes.container.image"
ACCOUNT = "spark.kubernetes.authenticate.driver.serviceAccountName"


@pytest.fixture
def submitted(settings, tmp_path):
    """Asks for the command of an application on a target, and takes it apart."""
    settings.CONSOLE_SPARK_CONF = {}
    settings.CONSOLE_SPARK_DRIVER_HOST = "127.0.0.1"

    def ask(target: gateway.Target, jars: tuple[Path, ...] = ()) -> tuple[list[str], dict[str, str]]:
        words = gateway.command(
            "a-job",
            application=tmp_path / "app.py",
            folder=Folder(tmp_path / "job"),
            output_dir=tmp_path / "output",
            ui_port=8020,
            jars=jars,
            on=target,
        )
        pairs = [words[at + 1] for at, word in enumerate(words) if word == "--conf"]
        return words, dict(pair.split("=", 1) for pair in pairs)

    return ask


def target(master: str, **conf: str) -> gateway.Target:
    return gateway.Target("x", master, 1, {name.replace("__", "."): value for name, value in conf.items()})


def test_the_whole_command_of_a_local_job(settings, submitted, tmp_path):
    settings.CONSOLE_SPARK_SUBMIT = "/opt/spark/bin/spark-submit"
    settings.CONSOLE_SPARK_DRIVER_MEMORY = "2g"
    words, _conf = submitted(target("local[2]"), jars=(Path("/jars/a.jar"), Path("/jars/b.jar")))
    conf = {
        "spark.app.name": "a-job",
        "spark.ui.port": "8020",
        "spark.port.maxRetries": "0",
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONPATH": str(settings.BASE_DIR),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }
    job = tmp_path / "job"
    assert words == [
        "/opt/spark/bin/spark-submit",
        *("--master", "local[2]", "--name", "a-job", "--driver-memory", "2g"),
        *("--jars", "/jars/a.jar,/jars/b.jar"),
        *(word for name, value in conf.items() for word in ("--conf", f"{name}={value}")),
        str(tmp_path / "app.py"),
        *("--params", str(job / "params.json"), "--result", str(job / "result.json")),
        *("--output", str(tmp_path / "output"), "--access", str(job / "access.json")),
    ]


@pytest.mark.parametrize(
    ("master", "host"),
    [
        ("local[*]", "127.0.0.1"),
        ("local-cluster[2,1,1024]", "127.0.0.1"),
        ("spark://a:7077,b:7077", "10.1.2.3"),
        (API, "10.1.2.3"),
    ],
)
def test_executors_elsewhere_are_told_an_address_that_they_reach(settings, submitted, master, host):
    settings.CONSOLE_SPARK_DRIVER_HOST = "10.1.2.3"
    words, conf = submitted(target(master))
    assert words[words.index("--master") + 1] == master
    assert (conf["spark.driver.host"], conf["spark.driver.bindAddress"]) == (host, host)


def test_pods_have_the_image_namespace_and_account_of_the_settings(settings, submitted):
    settings.CONSOLE_SPARK_IMAGE = "registry.example.org/spark@sha256:ab"
    settings.CONSOLE_SPARK_NAMESPACE = "data"
    settings.CONSOLE_SPARK_SERVICE_ACCOUNT = "atalaya-spark"
    _words, conf = submitted(target(API))
    assert conf[IMAGE] == "registry.example.org/spark@sha256:ab"
    assert conf["spark.kubernetes.namespace"] == "data"
    assert conf[ACCOUNT] == "atalaya-spark"


def test_spark_keeps_its_defaults_for_what_is_not_set(settings, submitted):
    settings.CONSOLE_SPARK_IMAGE = "spark:4.2"
    _words, conf = submitted(target(API))
    assert [name for name in conf if name.startswith("spark.kubernetes")] == [IMAGE]


def test_other_masters_hear_nothing_of_kubernetes(settings, submitted):
    settings.CONSOLE_SPARK_IMAGE = "spark:4.2"
    _words, conf = submitted(target("spark://a:7077"))
    assert not [name for name in conf if "kubernetes" in name]


def test_conf_of_the_target_wins_and_that_of_all_jobs_wins_over_it(settings, submitted):
    settings.CONSOLE_SPARK_IMAGE = "spark:4.2"
    settings.CONSOLE_SPARK_CONF = {"spark.driver.host": "driver.example"}
    own = {"spark__kubernetes__container__image": "own:1", "spark__driver__host": "10.0.0.9"}
    _words, conf = submitted(target(API, **own))
    assert (conf[IMAGE], conf["spark.driver.host"]) == ("own:1", "driver.example")


def test_no_connection_is_tried_to_the_api_of_kubernetes():
    """spark-submit speaks to it with its own certificates."""
    gateway.require_master(target("k8s://https://127.0.0.1:9"))
