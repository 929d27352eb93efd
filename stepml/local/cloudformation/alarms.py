"""AWS::CloudWatch::Alarm, which moto's CloudFormation does not have."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel

from stepml.local.cloudformation.with_arns import WithArn

_NUMBERS = {"EvaluationPeriods": int, "Period": int, "Threshold": float}


class AlarmOfStack(WithArn, CloudFormationModel):
    """An alarm that a stack has made; it is stored, and watches nothing."""

    @staticmethod
    def cloudformation_name_type() -> str:
        return "AlarmName"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::CloudWatch::Alarm"

    @classmethod
    def create_from_cloudformation_json(
        cls,
        resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
        **kwargs: Any,
    ) -> Any:
        given = cloudformation_json["Properties"]
        numbers = {name: number(given[name]) for name, number in _NUMBERS.items()}
        made = cloudwatch_backends[account_id][region_name].put_metric_alarm(
            name=resource_name,
            namespace=given["Namespace"],
            metric_name=given["MetricName"],
            comparison_operator=given["ComparisonOperator"],
            evaluation_periods=numbers["EvaluationPeriods"],
            period=numbers["Period"],
            threshold=numbers["Threshold"],
            statistic=given["Statistic"],
            description=given.get("AlarmDescription", ""),
            dimensions=given.get("Dimensions", []),
            alarm_actions=given.get("AlarmActions", []),
            treat_missing_data=given.get("TreatMissingData"),
        )
        return cls(resource_name, made.alarm_arn)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Any:
        given = (cloudformation_json, account_id, region_name)
        if new_resource_name != original_resource.name:
            cls.delete_from_cloudformation_json(original_resource.name, *given)
        return cls.create_from_cloudformation_json(new_resource_name, *given)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str
    ) -> None:
        cloudwatch_backends[account_id][region_name].delete_alarms([resource_name])
