//go:build tools

// Package helm pins helm.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
