"""DynamoDB on the local AWS: conditions hold under concurrent writes."""

from __future__ import annotations

import threading

from botocore.exceptions import ClientError

from tests.support.running_aws import RunningAws


def test_one_of_many_writers_that_want_to_be_first_is(aws: RunningAws) -> None:
    table, rounds = "first-of-many", 100
    aws.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    won: list[str] = []
    together = threading.Barrier(8)

    def publish(writer: int) -> None:
        items = aws.client("dynamodb")
        for number in range(rounds):
            together.wait(60)
            item = {"key": {"S": f"key-{number}"}, "writer": {"N": str(writer)}}
            try:
                items.put_item(
                    TableName=table,
                    Item=item,
                    ConditionExpression="attribute_not_exists(#k)",
                    ExpressionAttributeNames={"#k": "key"},
                )
            except ClientError as error:
                assert error.response["Error"]["Code"] == "ConditionalCheckFailedException"
            else:
                won.append(f"key-{number}")

    writers = [threading.Thread(target=publish, args=(writer,)) for writer in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(won) == sorted(f"key-{number}" for number in range(rounds))
