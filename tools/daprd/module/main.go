// daprd with its stable components plus two name resolvers, which find other sidecars without multicasting on the network
// card: sqlite through a file, nameformat through DNS. The official builds hold both already.
package main

import (
	"github.com/dapr/components-contrib/nameresolution/nameformat"
	"github.com/dapr/components-contrib/nameresolution/sqlite"
	"github.com/dapr/dapr/cmd/daprd/app"
	"github.com/dapr/dapr/pkg/components/nameresolution"
)

func main() {
	nameresolution.DefaultRegistry.RegisterComponent(nameformat.NewResolver, "nameformat")
	nameresolution.DefaultRegistry.RegisterComponent(sqlite.NewResolver, "sqlite")
	app.Run()
}
