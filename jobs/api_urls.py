"""REST paths, in the namespace `api`."""

from django.urls import path

from jobs import api

urlpatterns = [
    path("spark-apps", api.SparkAppListView.as_view(), name="spark-app-list"),
    path("job-schedules", api.JobScheduleListView.as_view(), name="job-schedule-list"),
    path("job-schedules/<int:pk>", api.JobScheduleDetailView.as_view(), name="job-schedule-detail"),
    path("jobs", api.JobListView.as_view(), name="job-list"),
    path("jobs/<uuid:job_id>", api.JobDetailView.as_view(), name="job-detail"),
    path("jobs/<uuid:job_id>/cancel", api.JobCancelView.as_view(), name="job-cancel"),
    path("jobs/<uuid:job_id>/restart", api.JobRestartView.as_view(), name="job-restart"),
    path("jobs/<uuid:job_id>/log", api.JobLogView.as_view(), name="job-log"),
]
