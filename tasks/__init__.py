"""The work of Crossover: plain functions and one module a stage; nothing here needs a server.

Importing the package switches the telemetry of everything below it off, before any of it is imported: this is the one list,
and child processes inherit it. What is set in the environment already stays as it is.
"""

import os

QUIET = {
    "DO_NOT_TRACK": "1",  # Prefect, Hugging Face
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # two processes instead of ten
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "DVC_NO_ANALYTICS": "1",
    "ITERATIVE_DO_NOT_TRACK": "1",  # the telemetry library below DVC
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "TOKENIZERS_PARALLELISM": "false",  # its threads and forked data loaders do not go together
}
for name, value in QUIET.items():
    os.environ.setdefault(name, value)
