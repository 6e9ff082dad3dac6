"""The rules of diagnosis, a file by kind of cause. Each proposes; `fitting.py` alone accepts."""
