"""Settings beyond the chart's own values: which may be said in clear, and where they let the console go."""

import pytest

from core.lib import secret_files
from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import containers, of_kind, pods, render
from tests.unit.deploy.test_chart_values import SCHEMA, faults

MAIL = "secretSettings={CONSOLE_EMAIL_URL}"


def test_no_secret_setting_may_be_said_in_clear():
    refused = SCHEMA["properties"]["settings"]["propertyNames"]["not"]["enum"]
    assert set(refused) == set(secret_files.SETTINGS)
    for name in secret_files.SETTINGS:
        assert faults({"settings": {name: "x"}}) == ["settings"]


def test_every_secret_setting_has_another_way_in():
    """By the Secret, always or where it is listed; but targets are values: CONSOLE_SPARK_CONF has secrets."""
    listed = set(SCHEMA["properties"]["secretSettings"]["items"]["enum"])
    helpers = (manifests.CHART / "templates" / "_helpers.tpl").read_text()
    fixed = {name for name in secret_files.SETTINGS if f"\n{name}: {{{{" in helpers}
    assert not listed & fixed
    assert set(secret_files.SETTINGS) - listed - fixed == {"CONSOLE_SPARK_TARGETS"}


@manifests.needs_helm
def test_mail_server_comes_from_the_secret_alone():
    for name, pod in pods(render("production", "--set", MAIL)).items():
        sources = [
            source for one in pod["spec"]["volumes"] for source in one.get("projected", {}).get("sources", ())
        ]
        items = {item["key"]: one["secret"]["name"] for one in sources for item in one["secret"]["items"]}
        assert items["CONSOLE_EMAIL_URL"] == "atalaya-secrets", name
        for container in containers(pod):
            told = {one["name"]: one.get("value") for one in container["env"]}
            assert told["CONSOLE_EMAIL_URL_FILE"] == "/run/secrets/atalaya/CONSOLE_EMAIL_URL"
            assert "CONSOLE_EMAIL_URL" not in told


@manifests.needs_helm
def test_without_a_secret_the_mail_server_has_nowhere_to_come_from():
    path = str(manifests.VALUES / "trial.yaml")
    done = manifests.template("-f", path, "--set", MAIL)
    assert done.returncode != 0
    assert "name a Secret that holds the settings for CONSOLE_EMAIL_URL" in done.stderr


@manifests.needs_helm
def test_links_lead_to_where_browsers_find_airflow_and_mlflow():
    public = {"AIRFLOW": "https://airflow.example.org", "MLFLOW": "https://ml.example.org:8443"}
    words = [word for name, url in public.items() for word in ("--set", f"{name.lower()}.publicUrl={url}")]
    words += ["--set", "monitoring.grafanaUrl=https://grafana.example.org"]
    rendered = pods(render("trial", *words))
    told = {one["name"]: one.get("value") for one in containers(rendered["atalaya-web"])[-1]["env"]}
    assert {name: told[f"CONSOLE_{name}_PUBLIC_URL"] for name in public} == public
    assert told["CONSOLE_GRAFANA_URL"] == "https://grafana.example.org"
    mlflow = {one["name"]: one.get("value") for one in containers(rendered["atalaya-mlflow"])[0]["env"]}
    hosts = mlflow["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    assert "ml.example.org:8443" in hosts, "MLflow refuses host names that it is not told"


DEFAULT = {443, 5432, 6379, 8080, 9092, 9093}


@manifests.needs_helm
@pytest.mark.parametrize(
    ("options", "added"),
    [
        ((), set()),
        ((MAIL,), {25, 465, 587}),
        (("settings.OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",), {4318}),
        (("mlflow.url=http://mlflow:5000",), {5000}),
        (("mlflow.url=http://mlflow",), {80}),
        (("airflow.url=https://airflow.example.org:8443",), {8443}),
        (("kafka.bootstrap=b-1.example.org:9096\\,b-2.example.org:9098",), {9096, 9098}),
        (("spark.master=spark://one:7077\\,two:7078",), {7077, 7078}),
        (
            ("spark.targets.far.master=spark://one:7079", "spark.targets.pods.master=k8s://https://c:6443"),
            {7079, 6443},
        ),
        (("spark.master=k8s://https://cluster.example.org",), set()),
        (("networkPolicy.egressPorts={443}", "mlflow.url=https://mlflow:443"), {443}),
    ],
)
def test_console_may_go_to_where_its_settings_send_it(options, added):
    words = tuple(word for option in options for word in ("--set", option))
    policy = of_kind(render("production", *words), "NetworkPolicy")["atalaya-outside"]["spec"]
    ports = [one["port"] for one in policy["egress"][0]["ports"]]
    assert len(ports) == len(set(ports))
    assert set(ports) == (added | {8080, 9093} if added == {443} else DEFAULT | added)
