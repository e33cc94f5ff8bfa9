"""Describes the distribution `haywain`: one import package, found under `platform/`.

The content folders at the top (`portal_types/`, `ingestion_policies/`, `activities/`, `templates/`) are
linked into `platform/haywain/`, so `find_packages` sees one package.  Exact versions of everything stand in
`constraints.txt`; the bounds here say what is known not to work.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def version() -> str:
    """Read `haywain.__version__` without importing the package, which is not installed yet."""
    source = (HERE / "platform" / "haywain" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)
    if found is None:
        raise SystemExit('setup.py: platform/haywain/__init__.py has no line __version__ = "..."')
    return found[1]


CLIENT = ["click>=8.1", "numpy>=2.0", "rich>=13", "urllib3>=2.2"]

AGENT = ["msgspec>=0.19", "psutil>=6"]  # `haywain agent` on a device needs no server

SERVER = [
    *AGENT,
    "BTrees>=6",
    "SQLAlchemy>=2.0",
    "WebOb>=1.8.8",
    "ZEO>=6",
    "ZODB>=6",
    "argon2-cffi>=23.1",
    "billiard>=4.2",  # Celery's processes
    "celery>=5.5",  # `haywain worker`
    "cronsim>=2.6",  # when a Schedule is due: cron expressions, right across a change of the clocks
    "greenlet>=3.1",  # ingestion requests wait without a thread each; SQLAlchemy has it too
    "jinja2>=3.1",
    "kombu>=5.5",  # Celery's queues
    "msgpack>=1.1",  # streams; msgspec wants whole objects
    "nanoarrow>=0.6",  # slices as Arrow; pyarrow is 45 times its size
    "persistent>=6",
    "pillow>=11",
    "prometheus-client>=0.21",
    "pydantic>=2.9",
    "pydantic-settings>=2.5",
    "pyramid>=2.1",
    "pyramid-jinja2>=2.10",
    "pyramid-retry>=2.1",
    "pyramid-tm>=2.6",
    "redis>=5",
    "scipy>=1.14",
    "setuptools<82",  # Pyramid 2.1 imports pkg_resources, which setuptools 82 dropped
    "transaction>=5",
    "waitress>=3.0.1,<3.1",  # web/server.py subclasses its parser and channel
    "xxhash>=3.4",
    "zc.lockfile>=3",
    "zodbpickle>=4",  # ZODB's own: looks into records without loading their classes
    "zope.interface>=7",
    "zstandard>=0.23",
]

SCIENCE = ["cloudpickle>=3", "joblib>=1.4", "scikit-learn>=1.5", "scipy>=1.14", "skops>=0.11"]

TEST = [
    "WebTest>=3",
    "aiosmtpd>=1.4.6",  # a mail server that takes what Alerts send
    "fluent-logger>=0.11",  # this and tuspy send as other people's programs do
    "hypothesis>=6.100",
    "packaging",
    "playwright>=1.50",
    "pytest>=9",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.6",
    "tuspy>=1.1",
]

CHECK = ["import-linter>=2.1", "mypy>=1.15", "ruff>=0.9"]

setup(
    name="haywain",
    version=version(),
    description="A data platform on one transactional object database: streams, arrays, catalog and portal",
    long_description=(HERE / "README.md").read_text(encoding="utf-8")
    if (HERE / "README.md").exists()
    else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    package_dir={"": "platform"},
    packages=find_packages(where="platform"),
    package_data={"haywain": ["py.typed", "templates/**/*"]},
    zip_safe=False,
    install_requires=CLIENT,
    extras_require={
        "agent": AGENT,
        "server": SERVER,
        "science": SCIENCE,
        "test": TEST + SCIENCE,
        "check": CHECK,
        "all": SERVER + SCIENCE,
    },
    entry_points={"console_scripts": ["haywain=haywain.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Database",
        "Topic :: Scientific/Engineering",
        "Typing :: Typed",
    ],
)
