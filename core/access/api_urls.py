"""REST paths, in the namespace `api`."""

from django.urls import path

from core.access import api, user_api

urlpatterns = [
    path("me", api.Me.as_view(), name="me"),
    path("tokens", api.TokenList.as_view(), name="token-list"),
    path("tokens/<int:pk>", api.TokenDetail.as_view(), name="token-detail"),
    path("sign-in-limits", api.LimitList.as_view(), name="sign-in-limit-list"),
    path("sign-in-limits/lift", api.LimitLift.as_view(), name="sign-in-limit-lift"),
    path("users", user_api.UserList.as_view(), name="user-list"),
    path("users/<str:username>", user_api.UserDetail.as_view(), name="user-detail"),
    path(
        "users/<str:username>/reset-password",
        user_api.UserResetPassword.as_view(),
        name="user-reset-password",
    ),
    path("roles", user_api.RoleList.as_view(), name="role-list"),
]
