"""Users, tokens and limits on signing in, as REST shows and takes them."""

from typing import ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers

from core.access import policy, queries, tokens
from core.access.models import ApiToken, User
from core.lib.rest import StrictSerializer, WholeListSerializer


class MeTokenSerializer(serializers.Serializer):
    """The token that made the call."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    expires_at = serializers.DateTimeField()


class MeSerializer(serializers.Serializer):
    """Who is asking, and what they may do now."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    email = serializers.CharField()
    is_system = serializers.BooleanField()
    roles = serializers.ListField(child=serializers.CharField())
    scopes = serializers.ListField(child=serializers.CharField())
    token = MeTokenSerializer(allow_null=True)


class TokenSerializer(serializers.ModelSerializer):
    """A token without its key, which is kept nowhere."""

    owner = serializers.CharField(source="user.username", read_only=True)
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)
    parent_id = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="The token by which it was made."
    )
    state = serializers.ChoiceField(choices=["active", "revoked", "expired"], read_only=True)

    class Meta:
        model = ApiToken
        fields: ClassVar = [
            "id",
            "name",
            "owner",
            "key_hint",
            "scopes",
            "parent_id",
            "state",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        ]
        read_only_fields = fields


class NewTokenSerializer(TokenSerializer):
    """A token with its key: the only time that it is shown."""

    key = serializers.CharField(read_only=True)

    class Meta(TokenSerializer.Meta):
        fields: ClassVar = [*TokenSerializer.Meta.fields, "key"]
        read_only_fields = fields


class TokenQuerySerializer(serializers.Serializer):
    """Which tokens the list shows."""

    all = serializers.BooleanField(required=False, default=False, help_text="Everybody's; needs `admin`.")
    q = serializers.CharField(
        max_length=150, required=False, default="", help_text="In the token's name or its owner's"
    )
    state = serializers.ChoiceField(
        ["active", "over"], required=False, default="", help_text="over: revoked or expired"
    )


class TokenWishSerializer(StrictSerializer):
    """A token that somebody wants. Without `scopes` it may all that the caller may, less `tokens`."""

    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(child=serializers.CharField(max_length=60), max_length=50, required=False)
    days = serializers.IntegerField(min_value=1, max_value=tokens.LONGEST_DAYS, default=tokens.DEFAULT_DAYS)

    def validate_scopes(self, value: list[str]) -> list[str]:
        """Names that exist."""
        unknown = sorted(set(value) - set(policy.SCOPES))
        if unknown:
            raise serializers.ValidationError(
                f"There is no scope “{unknown[0]}”. The scopes are: {', '.join(policy.SCOPES)}."
            )
        return value


class UserSerializer(serializers.ModelSerializer):
    """A person, or a pipeline's account, which nobody changes and which cannot sign in."""

    email = serializers.CharField(read_only=True, help_text="Empty where none is given.")
    roles = serializers.ListField(source="role_names", child=serializers.CharField(), read_only=True)
    must_change_password = serializers.BooleanField(
        read_only=True, help_text="It is a one-time password: the first sign-in asks for another."
    )
    n_live_tokens = serializers.IntegerField(source="n_tokens", read_only=True)
    created_at = serializers.DateTimeField(source="date_joined", read_only=True)
    last_sign_in_at = serializers.DateTimeField(source="last_login", read_only=True, allow_null=True)

    class Meta:
        model = User
        fields: ClassVar = [
            "id",
            "username",
            "email",
            "roles",
            "is_active",
            "is_system",
            "is_demo",
            "must_change_password",
            "n_live_tokens",
            "created_at",
            "last_sign_in_at",
        ]
        read_only_fields = fields


class UserWithPasswordSerializer(UserSerializer):
    """A person with a one-time password: the only time that it is shown."""

    one_time_password = serializers.CharField(read_only=True)

    class Meta(UserSerializer.Meta):
        fields: ClassVar = [*UserSerializer.Meta.fields, "one_time_password"]
        read_only_fields = fields


class UserQuerySerializer(serializers.Serializer):
    """Filters of the list; empty leaves all."""

    q = serializers.CharField(
        max_length=150, required=False, default="", help_text="In the name or the e-mail address"
    )
    role = serializers.ChoiceField(policy.ROLES, required=False, default="")
    state = serializers.ChoiceField(
        list(queries.USER_STATES),
        required=False,
        default="",
        help_text="active: people who may sign in; one-time: those of them who have never chosen a password;"
        " system: pipelines' accounts",
    )


class UserChangeSerializer(StrictSerializer):
    """What may be changed of a person; what is left out stays."""

    roles = serializers.ListField(
        child=serializers.ChoiceField(policy.ROLES),
        required=False,
        help_text="All that they hold from now on.",
    )
    email = serializers.EmailField(max_length=254, allow_blank=True, required=False)
    is_active = serializers.BooleanField(
        required=False, help_text="false: sessions and tokens end now, and for good"
    )


class UserWishSerializer(StrictSerializer):
    """A person who is to have an account."""

    username = serializers.CharField(
        max_length=150, help_text="Letters, digits and @ . + - _; it cannot be changed later."
    )
    roles = serializers.ListField(child=serializers.ChoiceField(policy.ROLES))
    email = serializers.EmailField(max_length=254, allow_blank=True, default="")


class NothingSerializer(StrictSerializer):
    """No field."""


class RoleSerializer(serializers.Serializer):
    """A role and what it allows."""

    name = serializers.CharField()
    description = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    n_people = serializers.IntegerField(help_text="Active people who hold it.")


class RoleListSerializer(WholeListSerializer):
    """All roles."""

    results = RoleSerializer(many=True)


class NameLimitSerializer(serializers.Serializer):
    """Wrong passwords for one name, from addresses and known browsers together."""

    key = serializers.CharField(source="name_key", help_text="A hash: people type passwords as names.")
    name = serializers.CharField(source="username", allow_null=True, help_text="Null: nobody has it.")
    n_failures = serializers.IntegerField(source="n")
    last_at = serializers.DateTimeField(source="at")
    free_at = serializers.DateTimeField(help_text="When it may be tried again; in the past, now.")


class AddressLimitSerializer(serializers.Serializer):
    """Names tried in vain from one address; of IPv6, from one network."""

    address = serializers.CharField(source="place")
    n_names = serializers.IntegerField(source="n")
    last_at = serializers.DateTimeField(source="at")
    free_at = serializers.DateTimeField(allow_null=True, help_text="When another name may be tried there.")


class LimitsSerializer(serializers.Serializer):
    """Who has to wait, or nearly does."""

    names = NameLimitSerializer(many=True)
    addresses = AddressLimitSerializer(many=True)


class LimitWishSerializer(StrictSerializer):
    """What may try to sign in again: a name as it is or by its key, or an address. One of the three."""

    name = serializers.CharField(max_length=150, required=False)
    key = serializers.RegexField(r"^[0-9a-f]{64}$", required=False)
    address = serializers.CharField(max_length=64, required=False)

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        """Exactly one."""
        if len(attrs) != 1:
            raise serializers.ValidationError(_("Give one of name, key and address."))
        return attrs
