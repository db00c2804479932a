// Command dbos runs two-step workflows of DBOS Transact with steps that do nothing, and says as one line of JSON what it came to. Keylane's benchmark "saga" builds and runs it on its own database.
//
// dbos URL IN_FLIGHT WARM_UP_SECONDS SECONDS RATE: with RATE 0 each of IN_FLIGHT loops begins the next workflow when one has ended; else RATE workflows a second begin when they are due, whatever
// became of those before them. What begins during the warm-up is not counted; "from" and "until" are said when counting begins and ends.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

func reserve(context.Context) (string, error) { return "reserved", nil }

func charge(context.Context) (string, error) { return "charged", nil }

func trip(ctx dbos.Context, key string) (string, error) {
	if _, err := dbos.RunAsStep(ctx, reserve); err != nil {
		return "", err
	}
	return dbos.RunAsStep(ctx, charge)
}

// once runs one workflow to its end, under an id of its own.
func once(ctx dbos.Context, key string) error {
	handle, err := dbos.RunWorkflow(ctx, trip, key, dbos.WithWorkflowID(key))
	if err != nil {
		return err
	}
	said, err := handle.GetResult()
	if err == nil && said != "charged" {
		err = fmt.Errorf("%s ended with %q", key, said)
	}
	return err
}

type load struct {
	inFlight      int
	warmUp, lasts time.Duration
	rate          int
}

type done struct {
	Sagas   int     `json:"sagas"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	LateMax float64 `json:"load_late_ms_max"`
}

func (it load) run(ctx dbos.Context) (done, error) {
	var (
		mutex  sync.Mutex
		took   []time.Duration
		failed error
		late   time.Duration
		group  sync.WaitGroup
		number atomic.Int64
	)
	begin := time.Now()
	from := begin.Add(it.warmUp)
	until := from.Add(it.lasts)
	one := func(due time.Time) {
		err := once(ctx, fmt.Sprintf("trip-%d-%d", begin.UnixNano(), number.Add(1)))
		ended := time.Now()
		mutex.Lock()
		defer mutex.Unlock()
		if err != nil && failed == nil {
			failed = err
		}
		if it.rate == 0 && ended.After(from) && !ended.After(until) || it.rate > 0 && due.After(from) {
			took = append(took, ended.Sub(due))
		}
	}
	group.Go(func() {
		time.Sleep(time.Until(from))
		fmt.Println("from")
		time.Sleep(time.Until(until))
		fmt.Println("until")
	})
	if it.rate == 0 {
		for range it.inFlight {
			group.Go(func() {
				for now := time.Now(); now.Before(until); now = time.Now() {
					one(now)
				}
			})
		}
	} else {
		for due := begin; due.Before(until); due = due.Add(time.Second / time.Duration(it.rate)) {
			time.Sleep(time.Until(due))
			late = max(late, time.Since(due))
			group.Go(func() { one(due) })
		}
	}
	group.Wait()
	sort.Slice(took, func(a, b int) bool { return took[a] < took[b] })
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return float64(took[min(int(share*float64(len(took))), len(took)-1)].Microseconds()) / 1e3
	}
	return done{
		Sagas: len(took), P50: at(0.5), P99: at(0.99), LateMax: float64(late.Microseconds()) / 1e3,
	}, failed
}

func run(words []string) error {
	if len(words) != 5 {
		return fmt.Errorf("URL IN_FLIGHT WARM_UP_SECONDS SECONDS RATE, and not %v", words)
	}
	var numbers [4]int
	for place, word := range words[1:] {
		number, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		numbers[place] = number
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, err := dbos.NewContext(context.Background(), dbos.Config{AppName: "trips", DatabaseURL: words[0], Logger: logger})
	if err != nil {
		return err
	}
	dbos.RegisterWorkflow(ctx, trip)
	if err := dbos.Launch(ctx); err != nil {
		return err
	}
	defer dbos.Shutdown(ctx, 5*time.Second)
	second := func(number int) time.Duration { return time.Duration(number) * time.Second }
	came, err := load{inFlight: numbers[0], warmUp: second(numbers[1]), lasts: second(numbers[2]), rate: numbers[3]}.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(came)
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
