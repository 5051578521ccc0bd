package caddyesign

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// lockHolding is the input of the process that holds a lock. It does not come as
// arguments, because other users of the machine can read those.
type lockHolding struct {
	Storage json.RawMessage `json:"storage,omitempty"`
	Name    string          `json:"name"`
}

// lockHeld is what the process prints when it has the lock. If it cannot get the lock,
// it prints lockFailed and the reason.
const (
	lockHeld   = "held"
	lockFailed = "failed: "
)

// holdLockCommand returns the command of a process that check kills, to see what
// becomes of the process's lock.
func holdLockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hold-lock",
		Short: "Holds a lock of a storage, until its input ends",
		Long: `
Holds a lock for 'check --storage', which kills this process to see when the storage
releases the lock.`,
		Hidden: true,
		Args:   noArguments(""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			input := json.NewDecoder(cmd.InOrStdin())
			var holding lockHolding
			if err := input.Decode(&holding); err != nil {
				return unchecked(cmd, fmt.Errorf("reading what to hold: %w", err))
			}
			held := func() error {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), lockHeld)
				if err == nil {
					// The input ends when the process that started this one ends.
					_, err = io.Copy(io.Discard, cmd.InOrStdin())
				}
				return err
			}
			err := holdLock(cmd.Context(), holding, held)
			if err != nil {
				fmt.Fprintln(cmd.OutOrStdout(), lockFailed+printable(newStorageMask(holding.Storage).show(err)))
				cmd.SilenceErrors = true
			}
			return err
		},
	}
}

// holdLock holds a lock while held runs.
func holdLock(ctx context.Context, holding lockHolding, held func() error) error {
	opened, err := openStorages(ctx, holding.Storage, 1)
	if err != nil {
		return err
	}
	defer opened.close()
	if err := opened.instances[0].Lock(ctx, holding.Name); err != nil {
		return err
	}
	return errors.Join(held(), opened.instances[0].Unlock(ctx, holding.Name))
}

// lockHolder returns a function that makes another process hold a lock: this program,
// run as hold-lock. The process ends when ctx ends, or as soon as it is killed.
func lockHolder(raw json.RawMessage) func(ctx context.Context, name string) (kill func(), err error) {
	return func(ctx context.Context, name string) (func(), error) {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		input, err := json.Marshal(lockHolding{raw, name})
		if err != nil {
			return nil, err
		}
		cmd := exec.CommandContext(ctx, program, "bankid-esign", "hold-lock") //nolint:gosec // this program
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return nil, err
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		kill := sync.OnceFunc(func() {
			_ = cmd.Process.Kill() // it may have ended by itself
			_ = cmd.Wait()         // its exit status does not matter
		})
		// The input stays open until the process is killed, because its end would
		// release the lock.
		if _, err := stdin.Write(append(input, '\n')); err != nil {
			kill()
			return nil, err
		}
		line, err := bufio.NewReader(stdout).ReadString('\n')
		line = strings.TrimSpace(line)
		switch {
		case line == lockHeld:
			return kill, nil
		case strings.HasPrefix(line, lockFailed):
			err = errors.New(strings.TrimPrefix(line, lockFailed))
		case err == nil || ctx.Err() == nil:
			err = errors.New("the process ended without output")
		default:
			err = errors.New("the process did not get the lock in time")
		}
		kill()
		return nil, err
	}
}
