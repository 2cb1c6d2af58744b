package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/atbridge/atbridge/atcmd"
	"github.com/atbridge/atbridge/modems"
)

func newDoctorCmd(g *globals) *cobra.Command {
	var asJSON bool
	var bundle string
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "doctor [--config FILE] [--json] [--bundle FILE]",
		Short: "Go the whole way from the port to the broker, and say where it breaks",
		Long: `Go the whole way from the port to the broker, and say at the first broken step what is wrong and what to try. Where a
daemon holds the port, it is asked. A message is published under the first route (or to atbridge/doctor).

--bundle writes what a bug report needs: the steps, the configuration and the AT traffic, secrets masked. Identities
(IMEI, phone numbers) stand as they are: look before you give it away.`,
		Example: `  atbridge doctor --config atbridge.yaml
  atbridge doctor --port /dev/ttyUSB2 --bundle report.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if patience <= 0 {
				return usagef("--patience must be more than 0")
			}
			p, err := g.patient(cmd)
			if err != nil {
				return err
			}
			defer p.close()
			var out io.WriteCloser
			if bundle != "" {
				out, err = os.OpenFile(bundle, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
				if errors.Is(err, fs.ErrExist) {
					return usagef("%s exists; name a new file", bundle)
				}
				if err != nil {
					return usagef("--bundle: %w", err)
				}
				defer out.Close()
			}
			p.patience = patience
			var wire strings.Builder
			show := wireTap(cmd.ErrOrStderr(), p.c.Log.Wire)
			p.wire = func(sent bool, text []byte) {
				fmt.Fprintf(&wire, "%s %s\n", arrow(sent), atcmd.Printable(text))
				if show != nil {
					show(sent, text)
				}
			}
			waiting := newProgress(cmd.ErrOrStderr())
			defer waiting.end()
			p.say = waiting.say
			w := cmd.OutOrStdout()
			var errPrint error
			report, failed := p.examine(cmd.Context(), func(r stepReport) {
				waiting.clear()
				if !asJSON && errPrint == nil {
					_, errPrint = fmt.Fprint(w, r)
				}
			})
			waiting.end()
			p.close()
			if asJSON {
				if err := json.NewEncoder(w).Encode(report); err != nil {
					return err
				}
			}
			if out != nil {
				if err := errors.Join(p.writeBundle(out, report, wire.String()), out.Close()); err != nil {
					return usagef("--bundle: %w", err)
				}
			}
			return errors.Join(failed, errPrint)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&asJSON, "json", false, "as JSON")
	f.StringVar(&bundle, "bundle", "", "write what a bug report needs to `FILE`")
	f.DurationVar(&patience, "patience", 90*time.Second, "how long to wait for the network, and for the broker")
	return cmd
}

func (g *globals) patient(cmd *cobra.Command) (*patient, error) {
	c, err := g.load(0)
	if err != nil {
		return nil, err
	}
	daemon, err := g.daemon(cmd, c)
	if err != nil {
		return nil, err
	}
	need := need(0)
	if len(c.Cloud.Broker) > 0 || c.Platform() != "" {
		need |= needCloud // its secrets
	}
	switch {
	case daemon != nil:
	case need&needCloud == 0:
		need |= needPort
	default:
		need |= needPath
	}
	c, err = g.load(need)
	return &patient{c: c, daemon: daemon}, err
}

// stepReport is how one step went.
type stepReport struct {
	Name    string  `json:"name"`
	State   string  `json:"state"` // ok, failed, skipped
	Found   string  `json:"found,omitempty"`
	Error   string  `json:"error,omitempty"`
	Try     string  `json:"try,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (r stepReport) String() string {
	line := fmt.Sprintf("%-7s %-13s %6.2f s  %s\n", r.State, r.Name, r.Seconds, printable(r.Found+r.Error))
	if r.Try != "" {
		line += fmt.Sprintf("%-7s try: %s\n", "", r.Try)
	}
	return line
}

// examination is all of them, up to the first that failed.
type examination struct {
	OK    bool         `json:"ok"`
	Steps []stepReport `json:"steps"`
}

// examine goes the way until a step fails. The error bears its exit code.
func (p *patient) examine(ctx context.Context, show func(stepReport)) (examination, error) {
	done := examination{OK: true}
	for _, s := range doctorSteps {
		p.say(s.name)
		began := time.Now()
		found, err := s.do(p, ctx)
		if ctx.Err() != nil {
			return done, context.Canceled // whoever stops it knows why it ends here
		}
		r := stepReport{Name: s.name, State: "ok", Found: found, Seconds: float64(time.Since(began).Milliseconds()) / 1000}
		switch {
		case errors.Is(err, errSkip):
			r.State, r.Found = "skipped", strings.TrimPrefix(err.Error(), errSkip.Error()+": ")
		case err != nil:
			s = atFault(s, err)
			r.Name, r.State, r.Found, r.Error, r.Try = s.name, "failed", "", err.Error(), s.try
			if p.c.Platform() != "" && modems.LoginRefused(err) {
				r.Try = "" // the error names the platform's own keys
			}
		}
		done.Steps = append(done.Steps, r)
		show(r)
		if r.State == "failed" {
			done.OK = false
			return done, failedStep(s, err)
		}
	}
	return done, nil
}

// atFault is the step whose matter err is: what connects as a whole may fail at a name, or in TLS.
func atFault(s step, err error) step {
	name := s.name
	switch {
	case errors.Is(err, modems.ErrName):
		name = "DNS"
	case tlsFault(err):
		name = "TLS"
	case errors.Is(err, unix.ENOTTY):
		name = "port"
	}
	for _, other := range doctorSteps {
		if other.name == name {
			return other
		}
	}
	return s
}

func failedStep(s step, err error) error {
	code := s.code
	var coded *exitError
	switch {
	case errors.As(err, &coded):
		code = coded.code
	case modems.LoginRefused(err):
		code = exitRefused
	}
	return withCode(code, fmt.Errorf("%s: %w", s.name, err))
}

// writeBundle writes what a bug report needs.
func (p *patient) writeBundle(w io.Writer, e examination, wire string) error {
	config, err := yaml.Marshal(p.c) // a Secret marshals as ***
	if err != nil {
		return err
	}
	var steps strings.Builder
	for _, s := range e.Steps {
		steps.WriteString(s.String())
	}
	ports := "not known"
	if list, _, err := thisMachine.ports(); err == nil {
		ports = lines(list)
	}
	for _, part := range []struct{ title, text string }{
		{"atbridge doctor", versionLine() + "\n" + time.Now().UTC().Format(time.RFC3339) + "\n"},
		{"steps", steps.String()},
		{"configuration", string(config)},
		{"ports", ports},
		{"wire", wire},
	} {
		if _, err := fmt.Fprintf(w, "== %s ==\n%s\n", part.title, part.text); err != nil {
			return err
		}
	}
	return nil
}

// lines are the ports in JSON, one on each line.
func lines(ports []portEntry) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	for _, p := range ports {
		if err := enc.Encode(p); err != nil {
			return err.Error()
		}
	}
	return b.String()
}
