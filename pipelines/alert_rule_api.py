"""REST: alert rules of pipelines."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from core.access.http import user_of
from core.alerts.states import Severity
from core.lib.rest import StrictSerializer, valid
from pipelines import alert_rules
from pipelines.alert_rule_models import AlertRule, RuleKind


class AlertRuleSerializer(serializers.ModelSerializer):
    """`alert_name`: the rule that its alerts name; their subject is the pipeline."""

    class Meta:
        model = AlertRule
        fields: ClassVar = [
            "id",
            "kind",
            "pattern",
            "limit_s",
            "severity",
            "is_active",
            "alert_name",
            "judged_from",
            "created_at",
            "changed_by",
        ]
        read_only_fields = fields


class AlertRuleChangeSerializer(StrictSerializer):
    kind = serializers.ChoiceField(RuleKind.choices, required=False)
    pattern = serializers.CharField(
        max_length=250, required=False, help_text="Name of a pipeline, or a glob of names."
    )
    limit_s = serializers.IntegerField(
        min_value=0,
        max_value=alert_rules.LONGEST_LIMIT_S,
        required=False,
        help_text="Seconds that may pass; 0 for `failed`.",
    )
    severity = serializers.ChoiceField(Severity.choices, required=False)
    is_active = serializers.BooleanField(required=False)


class NewAlertRuleSerializer(AlertRuleChangeSerializer):
    kind = serializers.ChoiceField(RuleKind.choices)
    pattern = serializers.CharField(max_length=250, help_text="Name of a pipeline, or a glob of names.")


class RaisedSerializer(serializers.Serializer):
    dag_id = serializers.CharField()
    at = serializers.DateTimeField()
    run_id = serializers.IntegerField(allow_null=True)


class PreviewSerializer(serializers.Serializer):
    """n: alerts within the last 7 days; newest: the newest hundred of them."""

    n_pipelines = serializers.IntegerField(help_text="Pipelines that the pattern fits.")
    n = serializers.IntegerField()
    newest = RaisedSerializer(many=True)


class AlertRuleListView(generics.ListAPIView):
    """Alert rules of pipelines, newest first."""

    serializer_class = AlertRuleSerializer

    def get_queryset(self) -> QuerySet[AlertRule]:
        """All."""
        return alert_rules.rules()

    @extend_schema(request=NewAlertRuleSerializer, responses={201: AlertRuleSerializer})
    def post(self, request: Request) -> Response:
        """Make one, which judges from now on."""
        made = alert_rules.create(by=user_of(request), **valid(NewAlertRuleSerializer, request.data))
        return Response(AlertRuleSerializer(made).data, status=201)


class AlertRulePreviewView(APIView):
    """What a rule would have raised."""

    @extend_schema(request=NewAlertRuleSerializer, responses=PreviewSerializer)
    def post(self, request: Request) -> Response:
        """Within the last 7 days; nothing is kept."""
        wished = AlertRule(**valid(NewAlertRuleSerializer, request.data))
        return Response(PreviewSerializer(alert_rules.preview(wished)).data)


class AlertRuleDetailView(APIView):
    @extend_schema(responses=AlertRuleSerializer)
    def get(self, _request: Request, rule_id: int) -> Response:
        """As it stands."""
        return Response(AlertRuleSerializer(alert_rules.rule(rule_id)).data)

    @extend_schema(request=AlertRuleChangeSerializer, responses=AlertRuleSerializer)
    def patch(self, request: Request, rule_id: int) -> Response:
        """Change the fields that are given. Switched off, its alerts are resolved."""
        given = valid(AlertRuleChangeSerializer, request.data)
        changed = alert_rules.change(rule_id, by=user_of(request), **given)
        return Response(AlertRuleSerializer(changed).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, rule_id: int) -> Response:
        """Its alerts are resolved."""
        alert_rules.remove(rule_id, by=user_of(request))
        return Response(status=204)
