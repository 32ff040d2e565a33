package main

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// shorten returns the shortest beginning of a history that is not linearizable, and its last operation. Every beginning
// of a linearizable history is linearizable, so the search can halve. After twice the timeout it takes the shortest one
// found so far.
func shorten(h history, timeout time.Duration) (history, operation) {
	byEnd := slices.Clone(h.Operations)
	slices.SortFunc(byEnd, func(a, b operation) int { return cmp.Compare(a.End, b.End) })
	deadline := time.Now().Add(2 * timeout)
	index := sort.Search(len(byEnd)-1, func(index int) bool {
		timeout := min(timeout, time.Until(deadline))
		return timeout > 0 && check(beginning(h, byEnd[index].End), timeout) == porcupine.Illegal
	})
	return beginning(h, byEnd[index].End), byEnd[index]
}

// beginning returns what had been seen of a history at a time: the outcome of operations that end later is unknown.
func beginning(h history, until int64) history {
	short := h
	short.Operations = nil
	for _, o := range h.Operations {
		if o.Start > until {
			continue
		}
		if o.End > until && o.Outcome != failed {
			o.Outcome = unknown
		}
		short.Operations = append(short.Operations, o)
	}
	return short
}

// How many operations before the last one an explanation shows.
const shown = 20

// explain lists the operation that does not fit and the ones on its keys that ended last before it, in the order of
// their starts.
func explain(h history, last operation) []string {
	var related []operation
	for _, o := range h.Operations {
		sharesKey := slices.ContainsFunc(o.keys(), func(key string) bool { return slices.Contains(last.keys(), key) })
		if sharesKey && o.Start <= last.End && (o.Outcome != unknown || o.Read == nil) {
			related = append(related, o)
		}
	}
	slices.SortFunc(related, func(a, b operation) int { return cmp.Compare(a.Start, b.Start) })
	related = related[max(0, len(related)-shown):]
	lines := []string{"No order of the operations explains: " + line(last)}
	for _, o := range related {
		lines = append(lines, line(o))
	}
	return lines
}

func line(o operation) string {
	end := fmt.Sprintf("%.1f", float64(o.End)/1000)
	text := fmt.Sprintf("%.1f-%s ms, client %d, %s", float64(o.Start)/1000, end, o.Client, o)
	if o.Note != "" {
		text += " (" + o.Note + ")"
	}
	return text
}
