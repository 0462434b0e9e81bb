"""Who am I, API tokens, and limits on signing in, over REST."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework.generics import ListCreateAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access import actions, limits, policy, queries, tokens
from core.access.http import user_of
from core.access.models import ApiToken
from core.access.serializers import (
    LimitsSerializer,
    LimitWishSerializer,
    MeSerializer,
    NewTokenSerializer,
    TokenQuerySerializer,
    TokenSerializer,
    TokenWishSerializer,
)
from core.lib.errors import NotFound
from core.lib.rest import valid, valid_query


class Me(APIView):
    """Who is asking: name, roles, and the scopes that count in this call."""

    @extend_schema(operation_id="me", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The caller; `token` is null in a session."""
        user = user_of(request)
        me = {
            "id": user.pk,
            "username": user.username,
            "email": user.email,
            "is_system": user.is_system,
            "roles": user.role_names,
            "scopes": sorted(policy.scopes_of(user)),
            "token": request.auth,
        }
        return Response(MeSerializer(me).data)


class TokenList(ListCreateAPIView):
    """API tokens of the caller."""

    serializer_class = TokenSerializer

    def get_queryset(self) -> QuerySet[ApiToken]:
        """The caller's tokens; everybody's with `all=true` for administrators."""
        given = valid_query(TokenQuerySerializer, self.request)
        wanted = {"words": given["q"], "state": given["state"]}
        if given["all"]:
            policy.check(self.request.user, "admin")
            return queries.all_tokens(**wanted)
        return queries.tokens_of(user_of(self.request), **wanted)

    @extend_schema(operation_id="token_list", parameters=[TokenQuerySerializer])
    def get(self, request: Request, *args: object, **kwargs: object) -> Response:
        """Newest first."""
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="token_create", request=TokenWishSerializer, responses={201: NewTokenSerializer}
    )
    def post(self, request: Request, *_args: object, **_kwargs: object) -> Response:
        """Make a token with some of the caller's scopes. Its key is in this answer and nowhere else."""
        values = valid(TokenWishSerializer, request.data)
        user = user_of(request)
        scopes = values.get("scopes", policy.token_scopes_of(user))
        token, key = tokens.create(user, name=values["name"], scopes=scopes, days=values["days"], by=user)
        answer = {**TokenSerializer(token).data, "key": key}
        return Response(answer, status=201, headers={"Cache-Control": "no-store"})


class TokenDetail(APIView):
    """One API token."""

    @extend_schema(operation_id="token_revoke", responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        """Revoke the token now: one's own, or as an administrator anybody's."""
        user = user_of(request)
        visible = queries.all_tokens() if policy.allows(user, "admin") else queries.tokens_of(user)
        token = visible.filter(pk=pk).first()
        if token is None:
            raise NotFound(_("You have no token %(id)s.") % {"id": pk})
        tokens.revoke(token, by=user)
        return Response(status=204)


class LimitList(APIView):
    """Who has to wait, or nearly does, after wrong passwords."""

    @extend_schema(operation_id="sign_in_limit_list", responses=LimitsSerializer)
    def get(self, request: Request) -> Response:
        """Names and addresses, the newest first, at most 100 of each."""
        found = {"names": limits.names(), "addresses": limits.addresses()}
        return Response(LimitsSerializer(found).data)


class LimitLift(APIView):
    """The end of one of these waits."""

    @extend_schema(operation_id="sign_in_limit_lift", request=LimitWishSerializer, responses={204: None})
    def post(self, request: Request) -> Response:
        """Let a name or an address try again at once; 404 when nothing has to wait there any more."""
        actions.lift_limit(**valid(LimitWishSerializer, request.data), by=user_of(request))
        return Response(status=204)
