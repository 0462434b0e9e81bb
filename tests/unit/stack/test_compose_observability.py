"""The profile `observability` of docker-compose.yml: what Prometheus asks, and where alerts go."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from stack import console_parts
from stack.config import REPO

WITHOUT_HTTP = {part.name for part in console_parts.PARTS} - {"web", "serving"}
SERVICES = yaml.safe_load((REPO / "docker-compose.yml").read_text())["services"]


def mounted(name: str) -> dict[str, Path | str]:
    """What stands at each path of the container: a file or folder of ours, or a volume's name."""
    found: dict[str, Path | str] = {}
    for volume in SERVICES[name]["volumes"]:
        source, target = volume.split(":")[:2]
        found[target] = REPO / source if source.startswith(".") else source
    return found


def listens(name: str) -> set[int]:
    """Ports that a service's command, health check or (proxy's) file name, or its settings for metrics."""
    service = SERVICES[name]
    said = " ".join([*service["command"], *service["healthcheck"]["test"]])
    if name == "proxy":
        said += (REPO / "deploy/compose/Caddyfile").read_text()
    if name in WITHOUT_HTTP:
        said += f" --port={service['environment']['CONSOLE_METRICS_PORT']}"
    return {int(port) for port in re.findall(r"(?:--port=|127\.0\.0\.1:|http://proxy:)(\d+)", said)}


def see_each_other(one: str, other: str) -> bool:
    return bool(set(SERVICES[one]["networks"]) & set(SERVICES[other]["networks"]))


def test_whatever_prometheus_asks_is_a_service_that_listens_there():
    told = yaml.safe_load(mounted("prometheus")["/etc/prometheus/prometheus.yml"].read_text())
    asked = [*told["scrape_configs"], *told["alerting"]["alertmanagers"]]
    fixed = [one for job in asked for one in job.get("static_configs", ())]
    targets = {target.replace("localhost", "prometheus") for one in fixed for target in one["targets"]}
    found = [one for job in asked for one in job.get("dns_sd_configs", ())]
    targets |= {f"{name}:{one['port']}" for one in found for name in one["names"]}
    assert len(targets) == 5 + len(WITHOUT_HTTP)
    for target in targets:
        name, _, port = target.partition(":")
        assert int(port) in listens(name), target
        assert see_each_other("prometheus", name), target


def test_alerts_come_back_into_the_console():
    mounts = mounted("alertmanager")
    path = "/etc/alertmanager/alertmanager.yml"
    assert f"--config.file={path}" in SERVICES["alertmanager"]["command"]
    told = yaml.safe_load((mounts["/etc/alertmanager"] / "alertmanager.yml").read_text())
    (webhook,) = told["receivers"][0]["webhook_configs"]
    address = urlsplit(webhook["url"])  # web itself would send a call without TLS to https
    assert address.port in listens(address.hostname)
    assert see_each_other("alertmanager", address.hostname)
    assert address.hostname in SERVICES["web"]["environment"]["CONSOLE_ALLOWED_HOSTS"].split(",")
    token = Path(webhook["http_config"]["authorization"]["credentials_file"])
    for name in ("setup", "worker"):  # which make it and renew it
        written = Path(SERVICES[name]["environment"]["CONSOLE_ALERTMANAGER_TOKEN"])
        assert written.name == token.name
        assert mounted(name)[str(written.parent)] == mounts[str(token.parent)]


def test_alertmanager_may_read_its_token_and_nobody_besides_the_console():
    """The file is of mode 0600: it runs as the account of our images."""
    image = (REPO / "Dockerfile").read_text()
    assert "USER 10001:10001" in image
    assert SERVICES["alertmanager"]["user"] == "10001:10001"
    assert re.search(r"install -d -o 10001 -g 10001[^\n]*(\\\n[^\n]*)*/var/lib/atalaya/alertmanager", image)
    volume = mounted("alertmanager")["/run/secrets"]
    for name, service in SERVICES.items():
        has_it = any(one.startswith(f"{volume}:") for one in service.get("volumes", ()))
        assert not (has_it and name.startswith("airflow"))
