#!/usr/bin/env python
"""Django's usual entry; `phonebank` is the same command once installed."""

from phonebank.__main__ import main

if __name__ == "__main__":
    main()
