"""The rules, one module a family. `schemas/rules.json` has their names, levels and statements."""
