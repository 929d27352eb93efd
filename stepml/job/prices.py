"""What AWS charges for a job: list prices of us-east-1 in US dollars, as of November 2026.

From https://aws.amazon.com/lambda/pricing (x86), https://aws.amazon.com/step-functions/pricing
(Standard Workflows), https://aws.amazon.com/s3/pricing (S3 Standard) and
https://aws.amazon.com/dynamodb/pricing/on-demand. Free tiers, discounts and other regions are not
looked at: most regions cost as much or up to a half more.
"""

from __future__ import annotations

import math

GB_SECOND_USD = 0.0000166667  # of a function's memory
INVOCATION_USD = 0.20e-6
TRANSITION_USD = 0.025e-3
PUT_USD = 0.005e-3  # S3: PUT, COPY, POST and LIST
GET_USD = 0.0004e-3  # S3: GET, HEAD and all others but DELETE, which is free
WRITE_UNIT_USD = 0.625e-6  # DynamoDB on demand: 1 KB of an item
READ_UNIT_USD = 0.125e-6  # 4 KB of an item, read consistently

WRITE_UNIT_BYTES = 1024
READ_UNIT_BYTES = 4096


def function_usd(seconds: float, memory_mb: int) -> float:
    """Return the price of one invocation; Lambda charges for each millisecond that has begun."""
    # A measured time in whole milliseconds must not become one more by its last bit.
    milliseconds = math.ceil(round(1000 * seconds, 6))
    return INVOCATION_USD + milliseconds / 1000 * memory_mb / 1024 * GB_SECOND_USD


def units(item_bytes: int, unit_bytes: int) -> int:
    """Return as how many units DynamoDB counts an item; an absent one is the smallest."""
    return max(1, -(-item_bytes // unit_bytes))
