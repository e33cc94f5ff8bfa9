"""The portal over HTTP: pages for people, JSON for programs, bytes for both."""

import warnings

warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)  # Pyramid 2.1 needs it still
