package chain

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, body string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	execute(answer, httptest.NewRequest("POST", "/", strings.NewReader(body)), Hoodi.ChainID, true)
	return answer.Body.String()
}

// Real Prysm v7 is not healthy with an execution client whose blocks lack one of these.
func TestBlocksHaveWhatRealPrysmReads(t *testing.T) {
	var answer struct {
		Result struct{ Number, Hash, ParentHash, Timestamp string }
	}
	for body, number := range map[string]string{
		`{"id":1,"method":"eth_getBlockByNumber","params":["0x10",false]}`:   "0x10",
		`{"id":1,"method":"eth_getBlockByNumber","params":["latest",false]}`: "",
	} {
		if err := json.Unmarshal([]byte(ask(t, body)), &answer); err != nil {
			t.Fatal(err)
		}
		block := answer.Result
		if len(block.Hash) != 66 || len(block.ParentHash) != 66 || block.Hash == block.ParentHash || block.Timestamp == "" {
			t.Errorf("%s: %+v", body, block)
		}
		if number != "" && block.Number != number {
			t.Errorf("%s: number %s", body, block.Number)
		}
	}
}

func TestSeveralQuestionsInOneRequest(t *testing.T) {
	var answers []struct {
		ID     int
		Result any
		Error  any
	}
	text := ask(t, `[{"id":7,"method":"eth_chainId"},{"id":8,"method":"debug_nothing"}]`)
	if err := json.Unmarshal([]byte(text), &answers); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 2 || answers[0].ID != 7 || answers[0].Result != "0x88bb0" || answers[1].Error == nil {
		t.Errorf("%s", text)
	}
}
