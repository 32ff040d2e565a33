// The webhook of Azure Workload Identity with flags for address and port: the original command listens on port 9443 of
// all addresses. The original code changes the pods.
package main

import (
	"flag"
	"log/slog"

	wi "github.com/Azure/azure-workload-identity/pkg/webhook"
	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
	metrics "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
)

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 9443, "port to listen on")
	certDir := flag.String("webhook-cert-dir", "", "folder of tls.crt and tls.key")
	flag.Parse() // controller-runtime defines --kubeconfig
	ctrl.SetLogger(logr.FromSlogHandler(slog.Default().Handler()))

	config := ctrl.GetConfigOrDie()
	manager, err := ctrl.NewManager(config, ctrl.Options{
		WebhookServer: webhook.NewServer(webhook.Options{Host: *host, Port: *port, CertDir: *certDir}),
		Metrics:       metrics.Options{BindAddress: "0"},
	})
	exitOn(err)
	mutator, err := wi.NewPodMutator(manager.GetClient(), manager.GetAPIReader(), "", manager.GetScheme(), config, "", "")
	exitOn(err)
	manager.GetWebhookServer().Register("/mutate-v1-pod", &webhook.Admission{Handler: mutator})
	exitOn(manager.Start(ctrl.SetupSignalHandler()))
}

func exitOn(err error) {
	if err != nil {
		panic(err)
	}
}
