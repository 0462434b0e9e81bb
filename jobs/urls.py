"""Pages and fragments."""

from django.urls import path

from jobs import views

app_name = "jobs"

JOB = "jobs/<uuid:job_id>"

urlpatterns = [
    path("jobs", views.job_list, name="job-list"),
    path("jobs/schedules", views.schedule_list, name="schedule-list"),
    path("jobs/schedules/<int:pk>/pause", views.schedule_pause, name="schedule-pause"),
    path("jobs/schedules/<int:pk>/delete", views.schedule_delete, name="schedule-delete"),
    path("jobs/recent", views.recent_jobs, name="recent-jobs"),
    path("jobs/new", views.application_list, name="application-list"),
    path("jobs/new/<str:app>", views.job_submit, name="job-submit"),
    path(JOB, views.job_detail, name="job-detail"),
    path(f"{JOB}/log", views.job_log, name="job-log"),
    path(f"{JOB}/log/text", views.job_log_text, name="job-log-text"),
    path(f"{JOB}/cancel", views.job_cancel, name="job-cancel"),
    path(f"{JOB}/restart", views.job_restart, name="job-restart"),
]
