module checker

go 1.26.7

tool checker

require github.com/anishathalye/porcupine v1.3.1
