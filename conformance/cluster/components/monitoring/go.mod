// The definitions of PodMonitor and PrometheusRule: files of the Prometheus operator's module, of which nothing is compiled.
module sluice/monitoring

go 1.25.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
