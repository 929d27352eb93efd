"""Writes the SAM template as CloudFormation's transform translates it: ``python -m … FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stepml.deployment.templates import read_template
from stepml.local.cloudformation.expansion import expanded
from stepml.packaging.sources import template_path


def main(target: Path) -> None:
    """Write the translated template to ``target``."""
    template = read_template(template_path())
    for resource in template["Resources"].values():
        for field in ("CodeUri", "DefinitionUri"):
            if field in resource.get("Properties", {}):
                resource["Properties"][field] = "s3://packages/key"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(expanded(template), indent=1, default=str))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
