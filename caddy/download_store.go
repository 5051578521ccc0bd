package caddyesign

import "github.com/esigngateway/caddy-bankid-esign/caddy/internal/download"

// downloadStore keeps downloads until the last configuration that uses it has gone.
type downloadStore struct{ *download.Store }

// newDownloadStore returns an empty store.
func newDownloadStore() downloadStore {
	return downloadStore{&download.Store{Changed: func(downloads int, bytes int64) {
		downloadsInMemory.Add(float64(downloads))
		downloadMemory.Add(float64(bytes))
	}}}
}

// Destruct implements caddy.Destructor.
func (s downloadStore) Destruct() error {
	s.Close()
	return nil
}
