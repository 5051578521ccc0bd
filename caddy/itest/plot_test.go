package itest

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// These are the measures of a plot, in pixels.
const (
	plotWidth   = 760
	plotMargin  = 44
	graphHeight = 96
	graphGap    = 40
)

// plotColors are the colors of the series of a graph.
var plotColors = []string{"#2266cc", "#dd7711", "#228833"}

// A plot has graphs one below the other over the same time. One span of the time is marked.
type plot struct {
	start, end, from, to time.Time
	graphs               bytes.Buffer
	height               int
}

// newPlot returns an empty plot from start to end, with the time between from
// and to marked.
func newPlot(start, end, from, to time.Time) *plot {
	return &plot{start: start, end: end, from: from, to: to, height: graphGap}
}

// x returns the x coordinate of the time at, in Unix seconds.
func (p *plot) x(at float64) float64 {
	begin := float64(p.start.UnixMilli()) / 1000
	return plotMargin + (at-begin)/p.end.Sub(p.start).Seconds()*(plotWidth-2*plotMargin)
}

// add adds a graph of all series, named by the value of label.
func (p *plot) add(title, label string, all []series) {
	highest := 1.0
	for _, s := range all {
		for _, v := range s.Values {
			highest = max(highest, v.value)
		}
	}
	top, bottom := float64(p.height), float64(p.height+graphHeight)
	from, to := p.x(float64(p.from.UnixMilli())/1000), p.x(float64(p.to.UnixMilli())/1000)
	fmt.Fprintf(&p.graphs, `<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="#fbe3e3"/>`+"\n", from, top, to-from, graphHeight)
	fmt.Fprintf(&p.graphs, `<path d="M%d,%.1fV%.1fH%d" fill="none" stroke="#999"/>`+"\n", plotMargin, top, bottom, plotWidth-plotMargin)
	fmt.Fprintf(&p.graphs, `<text x="%d" y="%.1f" font-weight="bold">%s</text>`+"\n", plotMargin, top-8, title)
	fmt.Fprintf(&p.graphs, `<text x="%d" y="%.1f" text-anchor="end">%.4g</text>`+"\n", plotMargin-4, top+10, highest)
	fmt.Fprintf(&p.graphs, `<text x="%d" y="%.1f" text-anchor="end">0</text>`+"\n", plotMargin-4, bottom)
	for i, s := range all {
		color := plotColors[i%len(plotColors)]
		fmt.Fprintf(&p.graphs, `<polyline fill="none" stroke-width="1.5" stroke="%s" points="`, color)
		for _, v := range s.Values {
			if !math.IsNaN(v.value) {
				fmt.Fprintf(&p.graphs, "%.1f,%.1f ", p.x(v.at), bottom-v.value/highest*graphHeight)
			}
		}
		fmt.Fprint(&p.graphs, `"/>`+"\n")
		if label != "" {
			fmt.Fprintf(&p.graphs, `<text x="%d" y="%.1f" text-anchor="end" fill="%s">%s</text>`+"\n",
				plotWidth-plotMargin-i*70, top-8, color, s.Metric[label])
		}
	}
	p.height += graphHeight + graphGap
}

// svg returns the plot with its time axis.
func (p *plot) svg() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11">`+"\n", plotWidth, p.height)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, p.height)
	out.Write(p.graphs.Bytes())
	bottom := p.height - graphGap
	for at := time.Duration(0); at <= p.end.Sub(p.start); at += time.Minute {
		fmt.Fprintf(&out, `<text x="%.1f" y="%d" text-anchor="middle">%d min</text>`+"\n",
			p.x(float64(p.start.Add(at).UnixMilli())/1000), bottom+16, int(at.Minutes()))
	}
	fmt.Fprintf(&out, `<text x="%.1f" y="%d" fill="#bb2222">the issuer responds with 503</text>`+"\n", p.x(float64(p.from.UnixMilli())/1000)+4, bottom+30)
	fmt.Fprint(&out, "</svg>\n")
	return out.Bytes()
}
