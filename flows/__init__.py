"""When and where: the only package that imports Prefect."""

import tasks as tasks  # before Prefect: it reads its settings from the environment when it is imported
