"""Pages."""

from django.urls import path

from core.access import limit_views, token_views, user_views, views

app_name = "access"

urlpatterns = [
    path("sign-in", views.sign_in, name="sign-in"),
    path("sign-out", views.sign_out, name="sign-out"),
    path("account", views.account, name="account"),
    path("account/preferences", views.preferences, name="preferences"),
    path("account/password", views.password_change, name="password-change"),
    path("account/tokens", token_views.token_list, name="token-list"),
    path("account/tokens/<int:pk>/revoke", token_views.token_revoke, name="token-revoke"),
    path("system", user_views.system, name="system"),
    path("system/sign-in", limit_views.limit_list, name="limit-list"),
    path("system/sign-in/lift", limit_views.limit_lift, name="limit-lift"),
    path("system/services", user_views.service_list, name="service-list"),
    path("system/roles", user_views.role_list, name="role-list"),
    path("system/tokens", token_views.all_token_list, name="all-token-list"),
    path("system/users", user_views.user_list, name="user-list"),
    path("system/users/new", user_views.user_create, name="user-create"),
    path("system/users/<int:pk>", user_views.user_detail, name="user-detail"),
    path("system/users/<int:pk>/deactivate", user_views.user_deactivate, name="user-deactivate"),
    path("system/users/<int:pk>/activate", user_views.user_activate, name="user-activate"),
    path("system/users/<int:pk>/reset-password", user_views.user_reset_password, name="user-reset-password"),
]
