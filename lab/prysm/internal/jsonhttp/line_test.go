package jsonhttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestALastingConnectionOutlivesTheCallsThatAreGivenUp(t *testing.T) {
	silence, asked := make(chan struct{}), make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		if r.URL.Path == "/silent" {
			<-silence
		}
	}))
	t.Cleanup(server.Close)
	client := New(server.URL).Lasting()
	client.http.Timeout = 50 * time.Millisecond
	ask := func(path string) error { return client.Do(t.Context(), "GET", path, nil, nil) }
	if err := ask("/"); err != nil {
		t.Fatal(err)
	}
	if err := ask("/silent"); err == nil {
		t.Fatal("no answer is no success")
	}
	for range 3 {
		if err := ask("/"); !errors.Is(err, ErrSilent) {
			t.Fatal("went out beside a connection that is open:", err)
		}
	}
	if len(asked) != 2 {
		t.Fatal(len(asked), "calls arrived")
	}
	close(silence)
	var err error
	for range 40 {
		if err = ask("/"); err == nil {
			return
		}
	}
	t.Fatal("the connection said something, and no new one was opened:", err)
}

func TestAPlainClientDialsAnew(t *testing.T) {
	silence := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/silent" {
			<-silence
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(silence) })
	client := New(server.URL)
	client.http.Timeout = 50 * time.Millisecond
	if client.Do(t.Context(), "GET", "/silent", nil, nil) == nil {
		t.Fatal("no answer is no success")
	}
	if err := client.Do(t.Context(), "GET", "/", nil, nil); err != nil {
		t.Fatal(err)
	}
}
