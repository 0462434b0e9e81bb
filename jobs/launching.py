"""Starting and stopping a job's processes. Each may be done again at any moment, by anybody, without harm."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from core.lib.errors import Unavailable
from jobs import applications, gateway, processes, supplies
from jobs.folders import Folder
from jobs.models import Job

PATIENCE_S = 20
# The launcher kills a driver that does not end when asked; a launcher that has not done so is itself killed.
KILL_AFTER_S = 8.0
ASKS_FOR_S = 25.0  # that a streaming job gets to end between two batches, before it is told to
LARGEST_LOG_BYTES = 16 * 1024 * 1024
KILL_ALL_AFTER = timedelta(seconds=20)


def start(job: Job) -> None:
    """Have a launcher hold the job's lock, unless one has or had it already.

    Raises NotFound for an application that is no more, InvalidRequest when it does not take the parameters
    any more, Unavailable when no launcher could start, and what the application's supplies raise.
    """
    folder = job.folder
    argv = [sys.executable, "-m", "jobs.launcher", str(folder.path)]
    try:
        if folder.has_begun:
            return
        _prepare(job, folder)
        with (folder.path / "launcher.log").open("ab") as said:
            subprocess.run(
                argv,
                cwd=settings.BASE_DIR,
                env=gateway.environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=PATIENCE_S,
                check=True,
            )
    except (OSError, subprocess.SubprocessError) as error:
        message = _("The launcher did not start: %(error)s") % {"error": error}
        raise Unavailable(message, service=gateway.SERVICE) from error


def _prepare(job: Job, folder: Folder) -> None:
    application = applications.find(job.app)
    target = gateway.target(job.target)
    gateway.require_master(target)
    params = applications.check(application, job.params)  # while it waited files may have gone or been moved
    assert job.ui_port is not None  # a constraint of every active job
    for path in (folder.path, folder.temporary, folder.supplies, job.output_dir):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.write(folder.params.name, params)
    needed = supplies.of(application)
    for supply in needed.values():
        supply.write(params, folder.supplies)
    folder.write(folder.access.name, {name: supply.access() for name, supply in needed.items()})
    gateway.write_properties(folder, target)
    argv = gateway.command(
        str(job.pk),
        application=Path(application.path),
        folder=folder,
        output_dir=job.output_dir,
        ui_port=job.ui_port,
        on=target,
        jars=gateway.connector_jars() if "kafka" in application.needs else (),
    )
    plan = {"argv": argv, "env": gateway.environment(folder)}
    limits = {
        "longest_s": None if job.is_streaming else settings.CONSOLE_JOBS_LONGEST_HOURS * 3600,
        "asks_for_s": ASKS_FOR_S if job.is_streaming else 0,
        "kill_after_s": KILL_AFTER_S,
        "largest_log_bytes": LARGEST_LOG_BYTES,
    }
    folder.write("launch.json", {**plan, **limits})


def stop(job: Job) -> None:
    """Tell the launcher to end the driver; kill everything once the job was cancelled some time ago."""
    folder = job.folder
    asked_at = job.cancel_asked_at or timezone.now()
    patience = KILL_ALL_AFTER + timedelta(seconds=ASKS_FOR_S if job.is_streaming else 0)
    if timezone.now() - asked_at > patience:
        processes.send(folder.path, signal.SIGKILL)
        return
    launcher = folder.launcher
    is_ours = launcher is not None and launcher["pid"] in {p.pid for p in processes.of(folder.path)}
    if launcher is not None and is_ours:
        try:
            os.kill(launcher["pid"], signal.SIGTERM)
        except ProcessLookupError:
            return
