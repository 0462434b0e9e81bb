"""Users and their roles over REST, for administrators."""

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListCreateAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import actions, policy, queries, words
from core.access import serializers as shapes
from core.access.http import user_of
from core.access.models import User
from core.lib.pages import CursorPages
from core.lib.rest import valid, valid_query


def _answer(username: str) -> Response:
    return Response(shapes.UserSerializer(queries.user(username)).data)


def _with_password(username: str, password: str, *, status: int) -> Response:
    """Nobody keeps it: no cache on the way, nor the console for a call that comes again."""
    answer = {**shapes.UserSerializer(queries.user(username)).data, "one_time_password": password}
    return Response(answer, status=status, headers={"Cache-Control": "no-store"})


class UserPages(CursorPages):
    """People by name, then pipelines' accounts."""

    ordering = ("is_system", "username")  # type: ignore[assignment]  # the base class has one


class UserList(ListCreateAPIView):
    """People and pipelines' accounts."""

    serializer_class = shapes.UserSerializer
    pagination_class = UserPages

    def get_queryset(self) -> QuerySet[User]:
        """Those that fit every filter given."""
        given = valid_query(shapes.UserQuerySerializer, self.request)
        return queries.users(words=given["q"], role=given["role"], state=given["state"])

    @extend_schema(operation_id="user_list", parameters=[shapes.UserQuerySerializer])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """People by name, then pipelines' accounts."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="user_create",
        request=shapes.UserWishSerializer,
        responses={201: shapes.UserWithPasswordSerializer},
    )
    def post(self, request: Request, *_args: object, **_kwargs: object) -> Response:
        """Make a person. The one-time password is in this answer and nowhere else.

        A token needs the scope `tokens` besides.
        """
        wish = valid(shapes.UserWishSerializer, request.data)
        user, password = actions.create_user(**wish, by=user_of(request))
        return _with_password(user.username, password, status=201)


class UserDetail(APIView):
    """One account."""

    @extend_schema(operation_id="user_detail", responses=shapes.UserSerializer)
    def get(self, _request: Request, username: str) -> Response:
        """As it stands."""
        return _answer(username)

    @extend_schema(
        operation_id="user_change", request=shapes.UserChangeSerializer, responses=shapes.UserSerializer
    )
    def patch(self, request: Request, username: str) -> Response:
        """Change what is given, all or none. 409 for a pipeline's account, and for the last administrator.

        For `roles` and `is_active` a token needs the scope `tokens` besides.
        """
        given = valid(shapes.UserChangeSerializer, request.data)
        user = queries.user(username)
        actions.change_user(user, by=user_of(request), **given)
        return _answer(user.username)


class UserResetPassword(APIView):
    """Another one-time password."""

    @extend_schema(
        operation_id="user_reset_password",
        request=shapes.NothingSerializer,
        responses=shapes.UserWithPasswordSerializer,
    )
    def post(self, request: Request, username: str) -> Response:
        """The old one, every session and token end now. The new one is in this answer and nowhere else.

        A token needs the scope `tokens` besides.
        """
        valid(shapes.NothingSerializer, request.data)
        user = queries.user(username)
        return _with_password(user.username, actions.reset_password(user, by=user_of(request)), status=200)


class RoleList(APIView):
    """The roles that there are."""

    @extend_schema(operation_id="role_list", responses=shapes.RoleListSerializer)
    def get(self, _request: Request) -> Response:
        """With the scopes that each allows."""
        counts = queries.role_counts()
        roles = [
            {
                "name": role,
                "description": words.ROLES[role],
                "scopes": sorted(policy.scopes_of_roles([role])),
                "n_people": counts.get(role, 0),
            }
            for role in policy.ROLES
        ]
        return Response(shapes.RoleListSerializer({"results": roles}).data)
