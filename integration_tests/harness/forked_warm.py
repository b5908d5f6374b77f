"""What the fork server does once, before it forks the processes of `forked`: imports, and what each start repeats."""

from __future__ import annotations

from functools import cache

from airbyte_cdk.sources.declarative import concurrent_declarative_source
from airbyte_cdk.sources.declarative.parsers.manifest_reference_resolver import ManifestReferenceResolver

import integration_tests.harness.forked  # noqa: F401 - where each process begins
from source_close import source
from source_close.api.sync import Sync

# Each source parses the CDK's schema of manifests, 250 kB of YAML, and resolves the references of the manifest. The
# name of the function begins with an underscore before airbyte-cdk 7.39.
module = vars(concurrent_declarative_source)
[schema] = (name for name in module if name.endswith("get_declarative_component_schema"))
module[schema] = cache(module[schema])
resolved = ManifestReferenceResolver().preprocess_manifest(source.load_manifest())
del resolved["definitions"]
vars(source)["load_manifest"] = lambda: resolved

# Templates, patterns and models are compiled when they are first used.
config = {"api_key": "api_warm", "sync": Sync(custom_field_columns=False)}
concurrent_declarative_source.ConcurrentDeclarativeSource(None, config, None, source_config=resolved).streams({})
