"""docker-compose.yml and the images as files: what can be told of them without a container engine."""

import ast
import ipaddress
import re
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from console import checks
from predictions.serving import application
from stack import compose_secrets, console_parts, databases, outside, redis_server
from stack.config import REPO, Config
from tests.containers import cluster, project

TEXT = (REPO / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
CADDYFILE = (REPO / "deploy/compose/Caddyfile").read_text()
EXAMPLE = (REPO / "deploy" / "compose.env.example").read_text()
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z0-9_]+)(?P<mark>:?[-?])?(?P<rest>[^}]*)\}")
ONE_SHOT = {"setup", "airflow-setup", "demo"}
MODULES = {"uvicorn", "celery", "airflow", "jupyterlab"}
PUBLISHED = {"proxy", "mlflow", "airflow-api", "grafana", "notebook"}
OURS = {
    name
    for name, service in SERVICES.items()
    if service["image"].startswith(("${ATALAYA_CONSOLE", "${ATALAYA_AIR"))
}

each = pytest.mark.parametrize("name", SERVICES)


def used() -> dict[str, set[str]]:
    """Each variable of the file with the defaults that stand behind it; `?` for one that must be set."""
    found: dict[str, set[str]] = {}
    for match in VARIABLE.finditer(TEXT):
        default = "?" if "?" in (match["mark"] or "?") else match["rest"]
        found.setdefault(match["name"], set()).add(default)
    return found


def with_defaults(text: str, **told: str) -> str:
    return VARIABLE.sub(lambda match: told.get(match["name"], match["rest"]), text)


def test_each_variable_is_in_the_example_with_its_default():
    documented = dict(re.findall(r"^#(ATALAYA_[A-Z0-9_]+)=(.*)$", EXAMPLE, re.M))
    told = {name: defaults for name, defaults in used().items() if "SECRET" not in name}
    assert {name: {documented.get(name)} for name in told} == told
    assert set(documented) == set(used())


def test_no_secret_has_a_default_and_each_is_made():
    secret = {name: defaults for name, defaults in used().items() if "SECRET" in name}
    assert set(secret) == set(compose_secrets.wanted())
    assert {default for defaults in secret.values() for default in defaults} == {"?"}
    assert not re.search(r"^#?ATALAYA_SECRET_\w+=.", EXAMPLE, re.M)


def test_no_password_is_written_out():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if variable == "CONSOLE_ALERTMANAGER_TOKEN":
                continue  # the file's name
            if re.search("PASSWORD|SECRET|KEY$|TOKEN$", variable) and not variable.endswith(("_FILE", "_ID")):
                assert str(value).startswith("${"), (name, variable)


def test_everything_is_there_that_the_console_consists_of():
    parts = {part.name for part in console_parts.PARTS}
    servers = {
        "postgres",
        "redis",
        "kafka",
        "s3",
        "mlflow",
        "proxy",
        "prometheus",
        "alertmanager",
        "airflow-metrics",
        "grafana",
        "spark-master",
        "spark-worker",
    }
    airflow = {"airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"}
    assert parts | servers | airflow | ONE_SHOT | {"course-api", "notebook"} == set(SERVICES)


@each
def test_service_has_limits_and_starts_again(name: str):
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
    assert service["restart"] == ("on-failure:3" if name in ONE_SHOT else "unless-stopped")
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")


@each
def test_long_running_service_says_how_it_is(name: str):
    check = SERVICES[name]["healthcheck"]
    if name in ONE_SHOT:
        assert check == {"disable": True}
        return
    assert check["test"][0] in {"CMD", "CMD-SHELL"}
    assert {"interval", "timeout", "retries"} <= check.keys()


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_images_run_without_rights_on_a_root_that_nobody_writes_to(name: str):
    service = SERVICES[name]
    has_java = name in {"watch", "spark-worker"}  # which unpacks libraries there
    assert (service["cap_drop"], service["read_only"]) == (["ALL"], True)
    assert service["tmpfs"] == (["/tmp:exec"] if has_java else ["/tmp"])
    assert "user" not in service  # the image's own, which is not root


@each
def test_image_is_pinned_and_can_be_replaced(name: str):
    found = VARIABLE.fullmatch(SERVICES[name]["image"])
    assert found, "no setting names another image"
    tag = found["rest"].rpartition(":")[2]
    assert re.search(r"\d", tag)
    assert "latest" not in tag


@each
def test_ports_are_published_on_loopback_alone(name: str):
    ports = SERVICES[name].get("ports", [])
    assert bool(ports) == (name in PUBLISHED)
    for port in ports:
        assert port.startswith("${ATALAYA_BIND:-127.0.0.1}:${ATALAYA_"), port


@each
def test_services_wait_for_the_health_of_what_they_need(name: str):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        assert how == {"condition": wanted}
        profiles = SERVICES[other].get("profiles", [])
        assert set(profiles) <= set(SERVICES[name].get("profiles", [])), f"{other} is not started with {name}"


def test_start_order_has_no_circle():
    def reach(name: str, seen: tuple[str, ...] = ()) -> None:
        assert name not in seen
        for other in SERVICES[name].get("depends_on", {}):
            reach(other, (*seen, name))

    for name in SERVICES:
        reach(name)


def test_target_of_the_example_is_what_make_test_containers_runs_a_job_on():
    (line,) = (line for line in EXAMPLE.splitlines() if line.startswith('# {"cluster"'))
    assert line.removeprefix("# ") == cluster.TARGETS
    assert SERVICES["spark-worker"]["command"][-1] in cluster.TARGETS
    assert "watch" in SERVICES  # where drivers are


@each
def test_networks_and_volumes_are_declared(name: str):
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    for volume in service.get("volumes", []):
        source = VARIABLE.sub(lambda match: match["rest"], volume).split(":")[0]
        assert (REPO / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume


def test_only_the_proxy_stands_between_people_and_web():
    assert "front" in SERVICES["proxy"]["networks"]
    assert {name for name in SERVICES if "front" in SERVICES[name]["networks"]} == {"proxy", "web"}
    environment = SERVICES["web"]["environment"]
    assert environment["CONSOLE_PROXY_NETWORKS"] == SERVICES["proxy"]["networks"]["front"]["ipv4_address"]
    upstreams = set(re.findall(r"dynamic a (\S+) 8000", CADDYFILE))
    assert upstreams == {"web-front", "serving"}
    assert SERVICES["web"]["networks"]["front"]["aliases"] == ["web-front"]


def test_the_proxy_sends_serving_all_that_it_answers():
    (pattern,) = re.findall(r"path_regexp (\S+)", CADDYFILE)
    assert {
        verb for verb in application.VERBS if re.search(pattern, f"/api/v1/models/a/{verb}")
    } == application.VERBS
    assert "path /v2 /v2/*\n" in CADDYFILE


def test_web_is_told_one_address_for_a_caller_whatever_stands_before_the_proxy():
    """So CONSOLE_PROXY_COUNT is 1, and what strangers claim stands before a proxy's word is not among it."""
    assert SERVICES["proxy"]["environment"]["ATALAYA_TRUSTED_PROXIES"] == "${ATALAYA_TRUSTED_PROXIES:-}"
    assert "trusted_proxies static {$ATALAYA_TRUSTED_PROXIES}\n\t\ttrusted_proxies_strict\n" in CADDYFILE
    n_ways = CADDYFILE.count("reverse_proxy {")
    assert n_ways == CADDYFILE.count("header_up X-Forwarded-For {client_ip}") == 2


def test_the_proxy_keeps_figures_from_the_world_and_not_from_prometheus():
    before, inner = CADDYFILE.split("http://proxy:8080 {")
    public = before.split("{$ATALAYA_HOSTS:localhost} {")[1]
    assert "handle /metrics {\n\t\trespond 404\n" in public
    assert "/metrics" not in inner


def test_no_service_is_given_the_fixed_address_of_another():
    """Docker gives away the first free one, in the order in which containers start."""
    fixed = {
        (network, with_defaults(how["ipv4_address"]))
        for service in SERVICES.values()
        if isinstance(service["networks"], dict)
        for network, how in service["networks"].items()
        if "ipv4_address" in how
    }
    assert {network for network, _address in fixed} == {"front"}
    for network, told in fixed:
        (config,) = COMPOSE["networks"][network]["ipam"]["config"]
        subnet, given = (ipaddress.ip_network(with_defaults(config[key])) for key in ("subnet", "ip_range"))
        address = ipaddress.ip_address(told)
        assert given.subnet_of(subnet)
        assert address in subnet
        assert address not in given
        assert address not in (subnet[0], subnet[1], subnet[-1]), "the network, its gateway, everybody"


def commands() -> dict[str, list[str]]:
    return {name: service["command"] for name, service in SERVICES.items() if name in OURS}


@pytest.mark.parametrize("name", sorted(OURS | {"notebook"}))
def test_command_names_what_is_there(name: str):
    words = SERVICES[name]["command"]
    for program, first in pairwise(words):
        if program == "-m":
            assert (
                first in MODULES
                or (REPO / f"{first.replace('.', '/')}").exists()
                or (REPO / f"{first.replace('.', '/')}.py").exists()
            )
        if program == "manage.py":
            assert list(REPO.glob(f"**/management/commands/{first}.py")), first
    for word in (*words, *SERVICES[name]["healthcheck"].get("test", [])):
        if "deploy/image/" in word:
            assert (REPO / word.removeprefix("/opt/atalaya/app/")).is_file()


@pytest.mark.parametrize("name", [part.name for part in console_parts.PARTS])
def test_parts_are_started_as_by_make_up(name: str, tmp_path: Path):
    """But for address, port and the queues, which containers share out."""
    config = Config(var_dir=tmp_path, venv_dir=tmp_path, port_base=8000)
    (part,) = (part for part in console_parts.PARTS if part.name == name)
    argv = [
        word for word in part.program(config).argv[1:] if word not in ("127.0.0.1", "0.0.0.0", "8000", "8001")
    ]
    told = " ".join(SERVICES[name]["command"])
    for own in ("control,heavy,spark",):
        argv = ["control,heavy" if word == own else word for word in argv]
    plain = told.replace("=", " ").replace("0.0.0.0 ", "").replace("--port 8000 ", "--port ")
    assert " ".join(argv) in plain


def test_every_queue_has_a_worker(tmp_path: Path):
    served = {
        queue
        for command in commands().values()
        for flag, queues in pairwise(command)
        if flag == "-Q"
        for queue in queues.split(",")
    }
    worker = next(part for part in console_parts.PARTS if part.name == "worker")
    argv = worker.program(Config(var_dir=tmp_path, venv_dir=tmp_path, port_base=8000)).argv
    assert served == set(argv[argv.index("-Q") + 1].split(","))


def test_only_what_cannot_be_had_is_left_out_of_make_test_containers():
    over = yaml.safe_load((REPO / "deploy/compose.test.yml").read_text())["services"]
    found = project.services()
    assert set(over) <= set(SERVICES)
    assert set(SERVICES) - set(found) <= {"grafana", "s3", "airflow-metrics"}
    for name, service in found.items():
        assert service["mem_limit"] == SERVICES[name]["mem_limit"]
        assert name in over or service["command"] == SERVICES[name]["command"]


def test_prometheus_reads_the_ports_where_web_and_serving_are():
    text = (REPO / "deploy/compose/prometheus.yml").read_text()
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}
    assert jobs["console"]["static_configs"] == [{"targets": ["web:8000"]}]
    assert ",web" in SERVICES["web"]["environment"]["CONSOLE_ALLOWED_HOSTS"]
    (serving,) = jobs["serving"]["dns_sd_configs"]
    assert (serving["names"], f"--port={serving['port']}") == (["serving"], SERVICES["serving"]["command"][5])
    assert "metric_relabel_configs" not in jobs["serving"], "it shares no folder with web"


WITHOUT_HTTP = {part.name for part in console_parts.PARTS} - {"web", "serving"}


def test_prometheus_reads_every_part_without_http_at_its_port():
    text = (REPO / "deploy/compose/prometheus.yml").read_text()
    jobs = {job["job_name"]: job for job in yaml.safe_load(text)["scrape_configs"]}
    assert set(jobs) == {"console", "serving", "airflow", "prometheus", "alertmanager"} | WITHOUT_HTTP
    for name in WITHOUT_HTTP:
        port = SERVICES[name]["environment"]["CONSOLE_METRICS_PORT"]
        assert set(SERVICES[name]["networks"]) & set(SERVICES["prometheus"]["networks"])
        assert "ports" not in SERVICES[name]
        (static,) = jobs[name].get("static_configs", [{"targets": []}])
        (found,) = jobs[name].get("dns_sd_configs", [{"names": [], "port": ""}])
        asked = static["targets"] + [f"{one}:{found['port']}" for one in found["names"]]
        assert asked == [f"{name}:{port}"]


def test_of_two_programs_in_a_container_one_has_the_port_of_metrics():
    words = SERVICES["watch"]["command"]
    first, second = words[: words.index("--")], words[words.index("--") + 1 :]
    assert "CONSOLE_METRICS_PORT" not in first
    assert second[:3] == ["env", "-u", "CONSOLE_METRICS_PORT"]


def test_grafana_finds_its_dashboards_and_prometheus():
    service, folder = SERVICES["grafana"], REPO / "deploy/observability/grafana"
    mounts = dict(volume.removesuffix(":ro").split(":") for volume in service["volumes"])
    (provider,) = yaml.safe_load((folder / "provisioning/dashboards/atalaya.yml").read_text())["providers"]
    (source,) = (path for path, inside in mounts.items() if inside == provider["options"]["path"])
    assert list((REPO / source).glob("*.json"))
    (source,) = (path for path, inside in mounts.items() if inside == "/etc/grafana/provisioning")
    assert {path.name for path in (REPO / source).iterdir()} == {"dashboards", "datasources"}
    assert service["environment"]["PROMETHEUS_URL"] == "http://prometheus:9090"


def test_environment_holds_settings_that_there_are():
    settings = (REPO / "console" / "settings.py").read_text()
    for name in ("web", "demo", "setup"):
        told = {variable for variable in SERVICES[name]["environment"] if variable.startswith("CONSOLE_")}
        told -= set(outside.UNSAID)
        assert len(told) > 10
        assert {variable for variable in told if f'"{variable}"' not in settings} == set()


def test_only_the_console_shares_its_metrics_between_processes():
    """Whatever else uses prometheus_client ends at once where this names a folder that is not there."""
    shares = {
        name
        for name, service in SERVICES.items()
        if "PROMETHEUS_MULTIPROC_DIR" in service.get("environment", {})
    }
    assert shares == {part.name for part in console_parts.PARTS} | {"setup", "demo"}
    assert "PROMETHEUS_MULTIPROC_DIR" not in DOCKERFILE


@pytest.mark.parametrize(("name", "service"), [("AIRFLOW", "airflow-api"), ("MLFLOW", "mlflow")])
def test_links_lead_to_where_a_browser_finds_the_service(name: str, service: str):
    environment = SERVICES["web"]["environment"]
    (published,) = SERVICES[service]["ports"]
    host, port = with_defaults(published).split(":")[:2]
    assert host == "127.0.0.1"
    assert with_defaults(environment[f"CONSOLE_{name}_PUBLIC_URL"]) == f"http://localhost:{port}"
    assert service in with_defaults(environment[f"CONSOLE_{name}_URL"])


def test_browsers_are_not_kept_from_the_pages_without_tls_on_the_same_host():
    """A browser that is told to use https alone does so at every port of the host."""
    plain = [name for name in PUBLISHED if name != "proxy"]
    assert plain
    assert with_defaults(SERVICES["web"]["environment"]["CONSOLE_HSTS_SECONDS"]) == "0"


def test_an_outside_redis_may_speak_tls(settings: Any):
    """Every client of it verifies, which the checks ask for."""
    told = {
        "ATALAYA_REDIS_SCHEME": "rediss",
        "ATALAYA_REDIS": "redis.example.org:6380",
        "ATALAYA_REDIS_OPTIONS": "?ssl_cert_reqs=required",
        "ATALAYA_SECRET_REDIS": "s3cret",
        "ATALAYA_SECRET_FEATURES": "f3atures",
    }
    environment = SERVICES["web"]["environment"] | SERVICES["airflow-scheduler"]["environment"]
    url = with_defaults(environment["CONSOLE_REDIS_URL"], **told)
    assert url == "rediss://:s3cret@redis.example.org:6380/0?ssl_cert_reqs=required"
    features = with_defaults(environment["ATALAYA_FEATURES_URL"], **told)
    assert features == "rediss://features:f3atures@redis.example.org:6380/0?ssl_cert_reqs=required"
    settings.CONSOLE_REDIS_URL = url
    assert "console.E032" not in {message.id for message in checks.check_settings(None)}


def test_an_example_of_redis_by_tls_passes_the_checks(settings: Any):
    texts = [(REPO / name).read_text() for name in ("docs/kubernetes.md", "docs/operations.md")]
    found = [url for text in texts for url in re.findall(r"rediss://[^\s`|]+", text)]
    assert len(found) == 2
    for url in found:
        settings.CONSOLE_REDIS_URL = url
        assert "console.E032" not in {message.id for message in checks.check_settings(None)}, url


def test_airflow_is_told_nothing_of_the_consoles_own():
    for name in SERVICES:
        if name.startswith("airflow"):
            told = str(SERVICES[name].get("environment"))
            assert "SECRET_CONSOLE" not in told
            assert "SECRET_RECORDS" not in told
            assert "DATABASE_CONSOLE" not in told
            assert "SECRET_REDIS" not in told


def test_redis_and_kafka_are_set_up_as_by_make_up():
    script = (REPO / "deploy/compose/redis.sh").read_text()
    assert " ".join(f"+{name}" for name in redis_server.COMMANDS) in script
    from stack import kafka

    own = {line.partition("=")[0] for line in kafka.SETTINGS.splitlines()}
    told = {line.partition("=")[0] for line in (REPO / "deploy/compose/kafka.sh").read_text().splitlines()}
    assert own - told == {"num.network.threads", "num.io.threads"}


def test_setup_makes_every_database():
    told = SERVICES["setup"]["environment"]
    assert {f"ATALAYA_SECRET_DATABASE_{name.upper()}" for name in databases.NAMES} <= told.keys()
    assert set(compose_secrets.BREAKS) <= told.keys()
    assert {"ATALAYA_POSTGRES", "ATALAYA_POSTGRES_ADMIN", "ATALAYA_POSTGRES_OPTIONS"} <= told.keys()


# --- the images

DOCKERFILE = (REPO / "Dockerfile").read_text()
STAGES = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.M | re.S))


def test_images_are_no_roots_and_end_when_told():
    assert set(STAGES) == {
        "base",
        "build",
        "build-notebook",
        "build-load",
        "console",
        "airflow",
        "notebook",
        "servers",
    }
    for name in ("console", "notebook"):
        assert "USER 10001:10001" in STAGES[name]
        assert "STOPSIGNAL" in STAGES[name]
        assert 'ENTRYPOINT ["tini", "--"]' in STAGES[name]
    assert "HEALTHCHECK" in STAGES["console"]
    assert not re.search(r"\b(gcc|g\+\+|clang|build-essential)\b", DOCKERFILE)


def test_installation_finds_all_that_it_reads(tmp_path: Path):
    """Its files are copied one by one, so that no other change makes the environments again."""
    for line in re.findall(r"^COPY ((?:.*\\\n)*.*)$", STAGES["build"], re.M):
        *files, folder = line.replace("\\\n", " ").split()
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(REPO / file, tmp_path / folder)
    code = (
        "from stack import install, jars; from pathlib import Path; import sys; "
        "files = [one for wanted in jars.SETS for one in (wanted.ivy_file, wanted.sums_file)]; "
        "assert Path(install.__file__).is_relative_to(sys.argv[1]), install.__file__; "
        "names = ('console', 'traces', 'airflow', 'bootstrap', 'build'); "
        "print([str(one) for one in (*files, *(install.LOCKS / f'{name}.txt' for name in names)) "
        "if not one.exists()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_locust_is_in_the_image_of_those_who_ask_where_the_console_looks_for_it():
    assert 'if [ "$WITH_LOCUST" = 1 ]' in STAGES["build-load"]
    copied = re.search(r"COPY --from=build-load (\S+) (\S+)", STAGES["console"])
    assert copied
    assert copied[1] == copied[2] == "/opt/atalaya/venv/load"
    assert "/opt/atalaya/venv/console/bin:" in STAGES["console"]  # beside it, by default
    for name in ("worker", "web"):
        assert SERVICES[name]["build"]["args"]["WITH_LOCUST"] == "${ATALAYA_WITH_LOCUST:-0}"


def test_build_takes_no_secret():
    assert not re.search(r"(ARG|ENV)\s+\w*(SECRET|PASSWORD|TOKEN|KEY)", DOCKERFILE)


def test_what_goes_into_an_image_is_listed():
    lines = [line for line in (REPO / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert {".env", ".git", "var", "tests"} & allowed == set()
    assert all((REPO / name).exists() for name in allowed)


def test_packages_that_the_settings_name_are_in_the_image():
    tree = ast.parse((REPO / "console" / "settings.py").read_text())
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    packages = {text.split(".")[0] for text in texts if (REPO / text.split(".")[0] / "__init__.py").exists()}
    allowed = set(re.findall(r"^!([\w/]+)$", (REPO / ".dockerignore").read_text(), re.M))
    assert len(packages) > 5
    assert packages - allowed == set()
