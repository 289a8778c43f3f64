//go:build tools

// Package fortio pins fortio.
package fortio

import (
	_ "fortio.org/fortio"
)
