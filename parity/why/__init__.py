"""Why a difference is there: causes and conventions. Knows no command and draws nothing."""
