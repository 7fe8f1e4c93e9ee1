import json
import unittest

from service import answer


class AnswerTest(unittest.TestCase):
    def test_a_visitor_is_counted(self):
        self.assertEqual(json.loads(answer("hello", 3)), {"greeting": "hello", "visitor": 3})


if __name__ == "__main__":
    unittest.main()
