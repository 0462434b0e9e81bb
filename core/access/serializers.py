"""Users, tokens and limits on signing in, as REST shows and takes them."""

from typing import ClassVar

from django.utils.translation import gettext as _
from rest_framework import serializers

from core.access import policy, tokens
from core.access.models import ApiToken


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


class TokenWishSerializer(serializers.Serializer):
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


class LimitWishSerializer(serializers.Serializer):
    """What may try to sign in again: a name as it is or by its key, or an address. One of the three."""

    name = serializers.CharField(max_length=150, required=False)
    key = serializers.RegexField(r"^[0-9a-f]{64}$", required=False)
    address = serializers.CharField(max_length=64, required=False)

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        """Exactly one."""
        if len(attrs) != 1:
            raise serializers.ValidationError(_("Give one of name, key and address."))
        return attrs
