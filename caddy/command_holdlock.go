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

// lockHolding is what a process that holds a lock reads: not arguments, which other
// users of the machine can read.
type lockHolding struct {
	Storage json.RawMessage `json:"storage,omitempty"`
	Name    string          `json:"name"`
}

// lockHeld is what it prints when it has the lock, and lockFailed begins what it
// prints if it cannot.
const (
	lockHeld   = "held"
	lockFailed = "failed: "
)

// holdLockCommand is a process that check kills, to see what becomes of its lock.
func holdLockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hold-lock",
		Short: "Holds a lock of a storage, until its input ends",
		Long: `
Is what 'check --storage' starts and kills, to see what becomes of the locks of a
process that has died.`,
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
					// Who started this is gone if it ends.
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

// holdLock has a lock while held runs.
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

// lockHolder returns what has a lock held by another process: this program, run as
// hold-lock. The process ends with ctx, or as soon as it is killed.
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
			_ = cmd.Process.Kill() // if it has not ended by itself
			_ = cmd.Wait()         // whatever it ended with
		})
		// The input stays open: its end is for who is not killed.
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
			err = errors.New("the process has ended without a word")
		default:
			err = errors.New("the process has no lock in time")
		}
		kill()
		return nil, err
	}
}
